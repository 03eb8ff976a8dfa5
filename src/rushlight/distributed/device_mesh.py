"""`DeviceMesh`: a job's processes laid out as a grid, with a group along every line of it."""

import math

import rushlight as torch

from .groups import get_rank, get_world_size, init_process_group, is_initialized, new_group


class DeviceMesh:
    """A grid of ranks.

    Args:
        device_type: "cpu".
        mesh: the world ranks as a tensor (or nested lists) with a dimension for each of the mesh's.
        mesh_dim_names: names of the dimensions, by which ``mesh["name"]`` takes a line or a part of the grid.

    All processes make it together, as it makes a group for each line along each dimension.
    """

    def __init__(self, device_type, mesh=None, *, mesh_dim_names=None, backend_override=None, _groups=None,
                 _root=None):
        _only_gloo(backend_override)
        self.device_type = device_type
        self.mesh = torch.as_tensor(mesh, dtype=torch.int32).detach().cpu()
        self.mesh_dim_names = tuple(mesh_dim_names) if mesh_dim_names else None
        self._root = _root
        if not is_initialized():
            init_process_group()
        flat = self.mesh.flatten().tolist()
        if len(set(flat)) != len(flat):
            raise RuntimeError("DeviceMesh cannot have duplicate values, but found duplicates")
        if self.mesh.numel() > get_world_size():
            raise RuntimeError(f"Mesh should not be bigger than default world size {get_world_size()}, but found "
                               f"{self.mesh.numel()} ranks!")
        places = (self.mesh == get_rank()).nonzero()
        self._place = tuple(places[0].tolist()) if places.shape[0] else None
        self._groups = self._lines() if _groups is None else _groups

    def _lines(self):
        """The group of this process along each dimension."""
        groups = []
        for dim in range(self.mesh.ndim):
            own = None
            lines = self.mesh.movedim(dim, -1).reshape(-1, self.mesh.shape[dim]).tolist()
            name = self.mesh_dim_names[dim] if self.mesh_dim_names else f"dim_{dim}"
            for ranks in lines:
                made = new_group(ranks, group_desc=f"mesh_{name}", sort_ranks=False)
                if get_rank() in ranks:
                    own = made
            groups.append(own)
        return groups

    @property
    def shape(self):
        """The lengths of the dimensions."""
        return tuple(self.mesh.shape)

    @property
    def ndim(self):
        """How many dimensions it has."""
        return self.mesh.ndim

    def size(self, mesh_dim=None):
        """How many processes there are, in all or along a dimension."""
        return self.mesh.numel() if mesh_dim is None else self.mesh.shape[mesh_dim]

    def get_rank(self):
        """The world rank of this process."""
        return get_rank()

    def get_coordinate(self):
        """The place of this process in the grid, a tuple; None outside of it."""
        return self._place

    def _dimension(self, mesh_dim):
        if mesh_dim is None:
            if self.ndim != 1:
                raise RuntimeError(f"Found the DeviceMesh have {self.ndim} dimensions",
                                   "Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1.")
            return 0
        if isinstance(mesh_dim, str):
            if mesh_dim not in (self.mesh_dim_names or ()):
                raise KeyError(f"Mesh dimension '{mesh_dim}' does not exist. Available mesh dimensions are: "
                               f"mesh_dim_names={self.mesh_dim_names}")
            return self.mesh_dim_names.index(mesh_dim)
        return mesh_dim

    def get_local_rank(self, mesh_dim=None):
        """The place of this process along a dimension."""
        dim = self._dimension(mesh_dim)
        if self._place is None:
            raise RuntimeError("this process is not part of the mesh")
        return self._place[dim]

    def get_group(self, mesh_dim=None):
        """The group along a dimension."""
        return self._groups[self._dimension(mesh_dim)]

    def get_all_groups(self):
        """The groups along all dimensions."""
        return [self.get_group(dim) for dim in range(self.ndim)]

    def __getitem__(self, names):
        """The part of the grid along some dimensions through this process."""
        names = (names,) if isinstance(names, str) else tuple(names)
        if not self.mesh_dim_names:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        dims = [self._dimension(name) for name in names]
        if self._place is None:
            part = self.mesh.movedim(dims, list(range(len(dims)))).flatten(len(dims))[..., 0]
        else:
            part = self.mesh[tuple(slice(None) if d in dims else p for d, p in enumerate(self._place))]
            kept = sorted(dims)
            part = part.permute([kept.index(d) for d in dims])
        return DeviceMesh(self.device_type, part, mesh_dim_names=names, _groups=[self._groups[d] for d in dims],
                          _root=self._root or self)

    def _flatten(self, mesh_dim_name=None):
        """The grid as one line, with a group of its own. All processes call this."""
        root = self._root or self
        names = mesh_dim_name or "_".join(self.mesh_dim_names or ())
        dims = [root.mesh_dim_names.index(n) for n in self.mesh_dim_names] if self._root else list(range(self.ndim))
        lines = root.mesh.movedim(dims, list(range(-len(dims), 0))).reshape(-1, self.mesh.numel()).tolist()
        own = None
        for ranks in lines:
            made = new_group(ranks, group_desc=f"mesh_{names}", sort_ranks=False)
            if get_rank() in ranks:
                own = made
        return DeviceMesh(self.device_type, self.mesh.flatten(), mesh_dim_names=(names,), _groups=[own], _root=root)

    @staticmethod
    def from_group(group, device_type, mesh=None, *, mesh_dim_names=None):
        """A mesh on groups that are there: one group, or one for each dimension of `mesh`."""
        groups = list(group) if isinstance(group, (list, tuple)) else [group]
        if mesh is None:
            if len(groups) != 1:
                raise ValueError("Must pass mesh if passing multiple ProcessGroups")
            mesh = groups[0].ranks
        made = DeviceMesh(device_type, mesh, mesh_dim_names=mesh_dim_names, _groups=groups)
        if made.ndim != len(groups):
            raise ValueError(f"Expects mesh with ndim equal to number of ProcessGroups but got mesh "
                             f"{made.mesh.tolist()} and {len(groups)} ProcessGroups")
        return made

    def __eq__(self, other):
        return self is other or isinstance(other, DeviceMesh) and self.mesh.tolist() == other.mesh.tolist() and (
            self.device_type, self.mesh_dim_names) == (other.device_type, other.mesh_dim_names)

    def __hash__(self):
        return hash((self.device_type, self.mesh_dim_names, tuple(self.mesh.flatten().tolist()), self.shape))

    def __repr__(self):
        sizes = tuple(self.mesh.shape)
        if self.mesh_dim_names:
            text = "(" + ", ".join(f"{n}={s}" for n, s in zip(self.mesh_dim_names, sizes)) + ")"
        else:
            text = f"({', '.join(map(str, sizes))})"
        return f"DeviceMesh({text}, '{self.device_type}', stride={tuple(_strides(sizes))})"


def _strides(sizes):
    """Ranks between neighbours along each dimension; () where there is one place only."""
    return [math.prod(sizes[i + 1:]) if n > 1 else () for i, n in enumerate(sizes)]


def _only_gloo(backends):
    """NotImplementedError where a dimension is to have another backend than "gloo", or options."""
    for backend in (backends.values() if isinstance(backends, dict) else backends or ()):
        name = backend if isinstance(backend, str) or backend is None else backend[0]
        if name not in (None, "gloo") or not isinstance(backend, str) and backend is not None and backend[1]:
            raise NotImplementedError(f"DeviceMesh: backend_override of {backend!r}")


def init_device_mesh(device_type, mesh_shape, *, mesh_dim_names=None, backend_override=None):
    """A `DeviceMesh` of all processes in the order of their ranks; makes the default group where there is none.

    RuntimeError where names are not as many as dimensions or not different, or the device type names an index.
    """
    if mesh_dim_names is not None:
        if len(set(mesh_dim_names)) != len(mesh_dim_names):
            raise RuntimeError("Each mesh_dim_name must be unique. "
                               f"Found repeated mesh_dim_name in mesh_dim_names {mesh_dim_names}")
        if len(mesh_shape) != len(mesh_dim_names):
            raise RuntimeError("mesh_shape and mesh_dim_names should have same length! "
                               f"Found len(mesh_dim_names): {len(mesh_dim_names)} and len(mesh_shape):"
                               f"{len(mesh_shape)}.")
    if device_type and not device_type.isalpha():
        raise RuntimeError(f"Device type with index is not supported but got {device_type}. ",
                           "If you maintained a 'torch.device' object, it's recommended to pass in 'device.type'.")
    if device_type != "cpu":
        raise NotImplementedError(f"init_device_mesh(): devices of type {device_type!r}")
    _only_gloo(backend_override)
    if not is_initialized():
        init_process_group()
    ranks = torch.arange(math.prod(mesh_shape)).view(tuple(mesh_shape))
    return DeviceMesh(device_type, ranks, mesh_dim_names=mesh_dim_names)


DeviceMesh.__module__ = "torch.distributed.device_mesh"
