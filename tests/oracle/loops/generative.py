"""Models of how data come about, and embeddings learnt without labels."""

import math

from .registry import loop


@loop()
def gan(torch):
    """A generator against a discriminator, each with an Adam of its own."""
    nn = torch.nn
    generator = nn.Sequential(
        nn.Linear(16, 64),
        nn.BatchNorm1d(64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, 128),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(nn.Linear(128, 64), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(64, 1))
    generator_optimizer = torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()
    real = torch.randn(32, 128)

    def step():
        fake = generator(torch.randn(32, 16))
        discriminator_optimizer.zero_grad()
        told = criterion(discriminator(real), torch.ones(32, 1))
        told = told + criterion(discriminator(fake.detach()), torch.zeros(32, 1))
        told.backward()
        discriminator_optimizer.step()
        generator_optimizer.zero_grad()
        fooled = criterion(discriminator(fake), torch.ones(32, 1))
        fooled.backward()
        generator_optimizer.step()
        return told.detach() + fooled.detach()
    return step


@loop(tolerance=1e-4, why="the loss is a difference, which crosses zero")
def wasserstein_critic(torch):
    """The critic of a Wasserstein GAN with a penalty on its gradient, which takes second derivatives; RMSprop."""
    nn = torch.nn
    critic = nn.Sequential(nn.Linear(32, 64), nn.ELU(), nn.Linear(64, 1))
    optimizer = torch.optim.RMSprop(critic.parameters(), 1e-3)
    real = torch.randn(64, 32)

    def step():
        fake = torch.randn(64, 32)
        share = torch.rand(64, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        slope, = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((slope.norm(2, 1) - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def variational_autoencoder(torch):
    """Reconstruction from sampled codes and their divergence from the standard normal distribution."""
    nn = torch.nn
    encoder = nn.Sequential(nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 32))
    decoder = nn.Sequential(nn.Linear(16, 100), nn.ReLU(), nn.Linear(100, 200))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    data = torch.rand(64, 200)

    def step():
        mean, log_variance = encoder(data).chunk(2, -1)
        codes = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        error = nn.functional.binary_cross_entropy_with_logits(decoder(codes), data, reduction="sum") / 64
        divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(-1).mean()
        loss = error + divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def diffusion(torch):
    """A network that is told the time predicts the noise in images; a moving average of its weights is kept."""
    nn, F = torch.nn, torch.nn.functional

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
            self.inward = nn.Conv2d(1, 32, 3, padding=1)
            self.down = nn.Conv2d(32, 64, 3, 2, 1)
            self.middle = nn.Conv2d(64, 64, 3, padding=1)
            self.up = nn.ConvTranspose2d(64, 32, 4, 2, 1)
            self.outward = nn.Conv2d(64, 1, 3, padding=1)
            self.norm = nn.GroupNorm(8, 64)

        def forward(self, x, time):
            frequencies = torch.exp(-math.log(1e4) * torch.arange(16) / 16)
            angles = time[:, None] * frequencies
            shift = self.time(torch.cat([angles.sin(), angles.cos()], -1))
            fine = F.silu(self.inward(x))
            coarse = F.silu(self.norm(self.down(fine)) + shift[:, :, None, None])
            coarse = F.silu(self.middle(coarse)) + coarse
            return self.outward(torch.cat([self.up(coarse), fine], 1))

    model = Denoiser()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-4)
    averages = [p.detach().clone() for p in model.parameters()]
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 100), 0)
    images = torch.randn(8, 1, 28, 28)

    def step():
        time = torch.randint(0, 100, (8,))
        noise = torch.randn_like(images)
        share = kept[time].view(-1, 1, 1, 1)
        noisy = share.sqrt() * images + (1 - share).sqrt() * noise
        loss = F.mse_loss(model(noisy, time.float()), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for average, p in zip(averages, model.parameters()):
                average.lerp_(p, 0.01)
        return loss
    return step


@loop()
def radiance_field(torch):
    """NeRF: colours and densities along rays, whose points are encoded by sines, composed to pixels."""
    nn, F = torch.nn, torch.nn.functional
    model = nn.Sequential(nn.Linear(39, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    origins = torch.randn(64, 3)
    directions = F.normalize(torch.randn(64, 3), dim=-1)
    pixels = torch.rand(64, 3)

    def encode(points):
        waves = [f(points * 2.0 ** i) for i in range(6) for f in (torch.sin, torch.cos)]
        return torch.cat([points] + waves, -1)

    def step():
        depths = torch.linspace(2, 6, 32).expand(64, 32) + torch.rand(64, 32) * 4 / 32
        points = origins[:, None] + directions[:, None] * depths[..., None]
        field = model(encode(points))
        density = field[..., 3].relu()
        colour = field[..., :3].sigmoid()
        lengths = torch.cat([depths[:, 1:] - depths[:, :-1], torch.full((64, 1), 1e10)], -1)
        opacity = 1 - torch.exp(-density * lengths)
        passed = torch.cumprod(torch.cat([torch.ones(64, 1), 1 - opacity + 1e-10], -1), -1)[:, :-1]
        weights = opacity * passed
        loss = ((weights[..., None] * colour).sum(1) - pixels).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def contrastive(torch):
    """SimCLR's loss: two noisy views of a sample shall find each other among all."""
    nn, F = torch.nn, torch.nn.functional
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    data = torch.randn(64, 64)

    def step():
        views = [model(data + 0.1 * torch.randn_like(data)) for _ in range(2)]
        embedded = F.normalize(torch.cat(views), dim=1)
        similarity = embedded @ embedded.t() / 0.1
        similarity = similarity.masked_fill(torch.eye(128, dtype=torch.bool), float("-inf"))
        loss = F.cross_entropy(similarity, torch.arange(128).roll(64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step
