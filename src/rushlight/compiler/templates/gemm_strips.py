"""Products whose tiles pack the strips of B that they need, on the stack.

What another core has packed is slow to read, so products of few rows don't share. And a B of many megabytes, of which
the rows of A leave little to do for each element, would go through memory once more if all of it were packed first;
the tiles have all rows then, and what is packed next is fetched while the kernels are at work.
"""

from rushlight.compiler.templates import gemm_ahead
from rushlight.compiler.templates.gemm_pack import GROUP

# B of so many bytes isn't packed as a whole for up to so many times the rows of a kernel, if there are so many tiles.
LARGE_BYTES, MOST_PANELS, LEAST_TILES = 8 << 20, 64, 16


def wanted(f, shape, tuning, m, n, k, strips):
    """(whether tiles pack for themselves, whether they have all rows)"""
    large = (k * n * shape.item >= LARGE_BYTES) & (m <= MOST_PANELS * shape.mr) & (strips >= LEAST_TILES * GROUP)
    return (m <= tuning.own_rows) | large, large


def write_task(driver, job_class, task):
    """Add ``strip_task``; tile t: ``tile_strips`` strips of C and a block of panels."""
    shape, tuning = driver.shape, driver.tuning
    item, nr = shape.item, shape.nr
    f = driver.module.function("strip_task", "void", task, "internal", "nounwind")
    job = job_class(f, f.args[0])
    packed = f.buffer(GROUP * tuning.k_block * nr * item)
    height, panels, m, n, end = job.height, job.panels, job.m, job.n, f.minimum(job.slab_end, job.k)
    begin, block, row_tiles, tile_panels = job.slab_begin, job.k_block, job.row_tiles, job.tile_panels
    width = job.tile_strips * nr
    a_row, a_col, b_row, b_col, c_row = job.a_row, job.a_col, job.b_row, job.b_col, job.c_row
    alpha, bias, null = driver._alpha(f, job), job.bias, f.null
    pack_a = job.pack_a.ne(0)
    kernel_a_row, kernel_a_col = f.select(pack_a, f.value(item), a_row), f.select(pack_a, height * item, a_col)
    far_a = m * job.k * item > tuning.near_bytes // 2
    far_b = job.k * n * item >= LARGE_BYTES
    with f.range(f.args[1], f.args[2]) as t:
        first = t.udiv(row_tiles) * width
        last = f.minimum(first + width, n)
        first_panel = t.urem(row_tiles) * tile_panels
        last_panel = f.minimum(first_panel + tile_panels, panels)
        with f.range(begin, job.slab_end, step=block) as p:
            depth = f.minimum(block, end - p)
            start, deeper = p.eq(0), p + depth < end
            f.call(
                "void", "pack_strips", job.b + (first * b_col + p * b_row), b_col, b_row, depth,
                last - first, f.value(nr), packed,
            )  # fmt: skip
            # The next k's, or the next tile's first ones.
            column, k = f.select(deeper, first, last), f.select(deeper, p + depth, begin)
            after = gemm_ahead.strips(f, job.b + (column * b_col + k * b_row), f.minimum(block, end - k),
                                      f.minimum(width, n - column), job, item)
            strips = (last - first + (nr - 1)).udiv(nr)
            with f.range(first_panel, last_panel) as panel:
                row = panel * height
                rows = f.minimum(height, m - row)
                rbias, rstep = driver._rows_of_bias(f, job, row, start)
                a = f.select(pack_a, job.packed_a + ((p - begin) * panels + panel * depth) * height * item,
                             job.a + (row * a_row + p * a_col))
                more = far_a & (panel + 1 < panels)
                next_a, next_rows = gemm_ahead.panel(f, more, pack_a, a, depth, height, rows, job, item)
                kernels = {name: driver._kernel(f, name, rows) for name in ("full", "edge", "narrow")}
                with f.range(strips) as strip:
                    column = first + strip * nr
                    left = n - column
                    with f.if_(far_b):
                        gemm_ahead.fetch(f, after, (panel - first_panel) * strips + strip,
                                         (last_panel - first_panel) * strips)
                    part = f.select(left > shape.lanes, kernels["edge"], kernels["narrow"])
                    kernel = f.select(left >= nr, kernels["full"], part)
                    here = f.select(start & bias.ne(null), bias + column * item, null)
                    d, drs, beta = driver._added(f, job, row, column, start)
                    f.call(
                        "void", kernel, depth, a, kernel_a_row, kernel_a_col,
                        packed + strip * nr * depth * item, f.value(nr * item),
                        job.c + (row * c_row + column * item), c_row,
                        left, d, drs, here, rbias, rstep, alpha, beta, next_a + strip * next_rows,
                    )  # fmt: skip
        with f.if_(job.slab_end >= job.k):
            row = first_panel * height
            driver._finish(f, job, row, first, f.minimum(last_panel * height, m) - row, last - first)
    f.ret()
