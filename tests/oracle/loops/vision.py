"""Images, volumes and films: classification, segmentation, detection, embeddings, prediction."""

from .registry import loop


@loop(tolerance=1e-3, why="batch normalization after ReLU6 magnifies rounding from step to step")
def mobilenet(torch):
    """Inverted residual blocks with depthwise convolutions; SGD with Nesterov momentum, smoothed labels."""
    nn = torch.nn

    def convolution(inputs, outputs, size, stride, groups=1):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(),
        )

    class InvertedResidual(nn.Module):
        def __init__(self, inputs, outputs, stride, expansion):
            super().__init__()
            hidden = inputs * expansion
            self.residual = stride == 1 and inputs == outputs
            self.layers = nn.Sequential(
                convolution(inputs, hidden, 1, 1),
                convolution(hidden, hidden, 3, stride, hidden),
                nn.Conv2d(hidden, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

        def forward(self, x):
            return x + self.layers(x) if self.residual else self.layers(x)

    model = nn.Sequential(
        convolution(3, 16, 3, 2),
        InvertedResidual(16, 24, 2, 4),
        InvertedResidual(24, 24, 1, 4),
        InvertedResidual(24, 48, 2, 4),
        InvertedResidual(48, 48, 1, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    images = torch.randn(8, 3, 64, 64)
    labels = torch.randint(0, 10, (8,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def unet(torch):
    """Segmentation by an encoder and a decoder with skip connections; cross-entropy and Dice loss, clipped norms."""
    nn, F = torch.nn, torch.nn.functional

    def block(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.GroupNorm(4, outputs),
            nn.SiLU(),
        )

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine = block(3, 16)
            self.middle = block(16, 32)
            self.coarse = block(32, 64)
            self.up1 = nn.ConvTranspose2d(64, 32, 2, 2)
            self.decoder1 = block(64, 32)
            self.up2 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            self.decoder2 = block(48, 16)
            self.head = nn.Conv2d(16, 2, 1)

        def forward(self, x):
            fine = self.fine(x)
            middle = self.middle(F.max_pool2d(fine, 2))
            coarse = self.coarse(F.avg_pool2d(middle, 2))
            x = self.decoder1(torch.cat([self.up1(coarse), middle], 1))
            x = self.decoder2(torch.cat([self.up2(x), fine], 1))
            return self.head(x)

    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = torch.randn(4, 3, 48, 48)
    masks = torch.randint(0, 2, (4, 48, 48))

    def step():
        optimizer.zero_grad()
        logits = model(images)
        inside = logits.softmax(1)[:, 1]
        dice = (2 * (inside * masks).sum() + 1) / (inside.sum() + masks.sum() + 1)
        loss = F.cross_entropy(logits, masks) + 1 - dice
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss
    return step


@loop()
def vision_transformer(torch):
    """Patches and a class token through three encoder layers; AdamW with a cosine schedule."""
    nn = torch.nn

    class VisionTransformer(nn.Module):
        def __init__(self, width=96):
            super().__init__()
            self.patches = nn.Conv2d(3, width, 8, 8)
            self.token = nn.Parameter(torch.zeros(1, 1, width))
            self.positions = nn.Parameter(torch.randn(1, 17, width) * 0.02)
            layer = nn.TransformerEncoderLayer(width, 4, 192, dropout=0.1, activation="gelu", batch_first=True,
                                               norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, 10)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
            return self.head(self.norm(self.encoder(x))[:, 0])

    model = VisionTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    images = torch.randn(16, 3, 32, 32)
    labels = torch.randint(0, 10, (16,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss
    return step


@loop(tolerance=1e-2, why="bfloat16 keeps 8 bits, and sums in it add in another order")
def residual_network_bf16(torch):
    """Residual blocks under autocast to bfloat16; SGD with momentum."""
    nn = torch.nn

    class Residual(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            same = stride == 1 and inputs == outputs
            self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

        def forward(self, x):
            y = torch.relu(self.norm1(self.conv1(x)))
            return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))

    model = nn.Sequential(
        Residual(3, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    images = torch.randn(16, 3, 32, 32)
    labels = torch.randint(0, 10, (16,))

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def siamese(torch):
    """One convolutional network embeds anchors, positives and negatives; triplet loss."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5),
        nn.PReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5),
        nn.PReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    anchors, positives, negatives = [torch.randn(16, 1, 28, 28) for _ in range(3)]

    def step():
        loss = nn.functional.triplet_margin_loss(model(anchors), model(positives), model(negatives), margin=1.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def detection(torch):
    """Boxes, objectness and classes at every cell of a grid, picked by a mask of where objects are."""
    nn, F = torch.nn, torch.nn.functional
    backbone = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.LeakyReLU(0.1),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(0.1),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.1),
    )
    head = nn.Conv2d(64, 3 * 8, 1)
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], 1e-2, momentum=0.9)
    images = torch.randn(4, 3, 64, 64)
    boxes = torch.rand(4, 3, 8, 8, 4)
    objects = torch.rand(4, 3, 8, 8) < 0.1
    classes = torch.randint(0, 3, (4, 3, 8, 8))

    def step():
        found = head(backbone(images)).view(4, 3, 8, 8, 8).permute(0, 1, 3, 4, 2)
        box = torch.cat([found[..., :2].sigmoid(), found[..., 2:4].exp()], -1)
        loss = F.mse_loss(box[objects], boxes[objects])
        loss = loss + F.binary_cross_entropy_with_logits(found[..., 4], objects.float())
        loss = loss + F.cross_entropy(found[..., 5:][objects], classes[objects])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def volume_segmentation(torch):
    """Convolutions in three dimensions with instance normalization; every voxel is classified."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1),
        nn.InstanceNorm3d(8, affine=True),
        nn.LeakyReLU(0.01),
        nn.Conv3d(8, 16, 3, stride=2, padding=1),
        nn.InstanceNorm3d(16, affine=True),
        nn.LeakyReLU(0.01),
        nn.ConvTranspose3d(16, 8, 2, 2),
        nn.Conv3d(8, 2, 1),
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    volume = torch.randn(1, 1, 24, 24, 24)
    labels = torch.randint(0, 2, (1, 24, 24, 24))

    def step():
        loss = nn.functional.cross_entropy(model(volume), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step


@loop()
def convolutional_lstm(torch):
    """An LSTM whose products are convolutions predicts the next picture of films."""
    nn = torch.nn
    gates = nn.Conv2d(1 + 8, 32, 3, padding=1)
    head = nn.Conv2d(8, 1, 1)
    optimizer = torch.optim.Adam([*gates.parameters(), *head.parameters()], 1e-3)
    films = torch.rand(4, 6, 1, 16, 16)

    def step():
        hidden = torch.zeros(4, 8, 16, 16)
        cell = torch.zeros_like(hidden)
        loss = 0
        for t in range(5):
            i, f, g, o = gates(torch.cat([films[:, t], hidden], 1)).chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            loss = loss + nn.functional.mse_loss(head(hidden).sigmoid(), films[:, t + 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
    return step
