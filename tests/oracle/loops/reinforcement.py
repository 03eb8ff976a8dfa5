"""Learning from rewards: values and policies."""

from .registry import loop


@loop()
def deep_q(torch):
    """Q-learning from a replay buffer with random batches; the target network follows by a moving average."""
    nn = torch.nn

    def network():
        return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))

    online = network()
    target = network()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), 1e-3)
    states = torch.randn(1000, 8)
    actions = torch.randint(0, 4, (1000,))
    rewards = torch.randn(1000)
    successors = torch.randn(1000, 8)
    ended = (torch.rand(1000) < 0.1).float()

    def step():
        i = torch.randint(0, 1000, (64,))
        with torch.no_grad():
            wanted = rewards[i] + 0.99 * target(successors[i]).max(1)[0] * (1 - ended[i])
        values = online(states[i]).gather(1, actions[i].unsqueeze(1)).squeeze(1)
        loss = nn.functional.smooth_l1_loss(values, wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(online.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), online.parameters()):
                slow.mul_(0.995).add_(fast, alpha=0.005)
        return loss
    return step


@loop()
def proximal_policy(torch):
    """PPO: the clipped ratio of policies, the values' error and the entropy of a categorical distribution."""
    nn = torch.nn
    policy = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
    critic = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(list(policy.parameters()) + list(critic.parameters()), 3e-4)
    observations = torch.randn(256, 8)
    actions = torch.randint(0, 4, (256,))
    advantages = torch.randn(256)
    returns = torch.randn(256)
    before = torch.distributions.Categorical(logits=policy(observations).detach()).log_prob(actions)

    def step():
        chosen = torch.distributions.Categorical(logits=policy(observations))
        ratio = (chosen.log_prob(actions) - before).exp()
        scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        gain = torch.min(ratio * scaled, ratio.clamp(0.8, 1.2) * scaled).mean()
        error = (critic(observations).squeeze(-1) - returns).pow(2).mean()
        loss = -gain + 0.5 * error - 0.01 * chosen.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        optimizer.step()
        return loss
    return step
