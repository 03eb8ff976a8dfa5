"""Two-sided choices of least cost: a minimum cut.

Each of `count` choices is left or right. What a choice costs on either side and what a group costs whose members don't
all agree add up; the cut that separates the two ends of a network of these costs is the cheapest way to choose (Ford
and Fulkerson 1956), found with shortest augmenting paths in phases (Dinic 1970).
"""

NEVER = 1e18


class Cut:
    """Choices 0 .. count - 1 and what they cost."""

    def __init__(self, count):
        self.edges = [[] for _ in range(count + 2)]     # of each node: indices of arcs; each is beside its reverse
        self.heads, self.room = [], []
        self.left, self.right = count, count + 1

    def _arc(self, a, b, room):
        self.edges[a].append(len(self.heads))
        self.edges[b].append(len(self.heads) + 1)
        self.heads += [b, a]
        self.room += [room, 0.0]

    def choice(self, i, left, right):
        """What choice `i` costs on each side."""
        least = min(left, right)
        if right > least:
            self._arc(self.left, i, min(right - least, NEVER))
        if left > least:
            self._arc(i, self.right, min(left - least, NEVER))

    def group(self, members, cost, fixed=()):
        """What it costs if members, and sides (True: right) that are taken already, don't agree."""
        some, every = len(self.edges), len(self.edges) + 1
        self.edges += [[], []]
        self._arc(some, every, cost)
        for m in {*members, *[self.right if side else self.left for side in fixed]}:
            self._arc(m, some, NEVER)
            self._arc(every, m, NEVER)

    def sides(self, count):
        """For each choice whether it is right."""
        while (level := self._levels())[self.right] is not None:
            at = [0] * len(self.edges)
            while self._path(level, at):
                pass
        level = self._levels()
        return [level[i] is None for i in range(count)]

    def _levels(self):
        level = [None] * len(self.edges)
        level[self.left] = 0
        found = [self.left]
        for a in found:
            for e in self.edges[a]:
                b = self.heads[e]
                if self.room[e] > 1e-9 and level[b] is None:
                    level[b] = level[a] + 1
                    found.append(b)
        return level

    def _path(self, level, at):
        """Fill one shortest path; whether there was one."""
        path, a = [], self.left
        while a != self.right:
            edges = self.edges[a]
            while at[a] < len(edges):
                e = edges[at[a]]
                b = self.heads[e]
                if self.room[e] > 1e-9 and level[b] == level[a] + 1:
                    break
                at[a] += 1
            else:
                if not path:
                    return False
                a = self.heads[path.pop() ^ 1]
                at[a] += 1
                continue
            path.append(e)
            a = b
        most = min(self.room[e] for e in path)
        for e in path:
            self.room[e] -= most
            self.room[e ^ 1] += most
        return True
