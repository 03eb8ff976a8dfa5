"""What goes wrong between processes is told, and soon."""
# Functions run as programs of their own: see conftest for the names they find there.
# ruff: noqa: F821


def mismatches():
    begin(20)
    checks = [
        (lambda: dist.all_reduce(torch.ones(2 + rank)), "of 3 elements of torch.float32"),
        (lambda: dist.all_reduce(torch.ones(2, dtype=[torch.float32, torch.int32][rank])), "torch.int32"),
        (lambda: dist.all_reduce(torch.ones(2), [dist.ReduceOp.SUM, dist.ReduceOp.MAX][rank]), "all_reduce(MAX)"),
        (lambda: dist.all_gather([torch.ones(2 + rank)] * 2, torch.ones(2 + rank)), "all_gather"),
    ]
    for call, words in checks:
        try:
            call()
        except RuntimeError as error:
            assert "Mismatch between ranks" in str(error) and words in str(error), error
        else:
            raise AssertionError(words)
    if rank == 0:
        raises(RuntimeError, "barrier", dist.all_reduce, torch.ones(3))
    else:
        raises(RuntimeError, "all_reduce(SUM)", dist.barrier)
    if rank == 0:
        dist.send(torch.ones(2), 1)
    else:
        raises(RuntimeError, "8 bytes", dist.recv, torch.ones(3), 0)


def test_ranks_that_disagree(processes):
    processes(mismatches)


def arguments():
    begin(10)
    one = torch.ones(2)
    raises(TypeError, "Expected parameter `tensor`", dist.all_reduce, [1])
    raises(ValueError, "Must specify", dist.broadcast, one)
    raises(ValueError, "Can't specify both", dist.broadcast, one, 0, group_src=0)
    raises(RuntimeError, "invalid root rank: 5", dist.broadcast, one, 5)
    raises(RuntimeError, "expected length 2, got 1", dist.all_gather, [one], one)
    raises(RuntimeError, "invalid tensor size at index 1", dist.all_gather, [one, torch.ones(3)], one)
    raises(ValueError, "different dtypes", dist.all_gather, [one.double(), one.double()], one)
    raises(ValueError, "different dtypes", dist.all_to_all, [one, one], [one, one.double()])
    raises(RuntimeError, "does not match world size", dist.all_to_all, [one], [one, one])
    raises(RuntimeError, "Split sizes", dist.all_to_all_single, one, one, [1, 2], [1, 1])
    raises(RuntimeError, "must be world size", dist.reduce_scatter, one, [one])
    root = (dist.gather, one, None, rank), (dist.scatter, one, None, rank)
    raises(ValueError, "must be specified on destination", *root[0])
    raises(ValueError, "must be specified on source", *root[1])
    raises(ValueError, "must NOT be specified", dist.gather, one, [one, one], 1 - rank)
    raises(ValueError, "isend", dist.P2POp, dist.all_reduce, one, 1 - rank)
    raises(NotImplementedError, "sparse", dist.all_reduce, torch.eye(2).to_sparse())
    assert dist.all_reduce(torch.ones(2, device="meta")) is None
    dist.barrier()


def test_arguments(processes):
    processes(arguments)


def deaths():
    begin(20)
    if rank == 1:
        os._exit(3)
    began = time.monotonic()
    x = torch.ones(300_000)
    raises(RuntimeError, "rank 1 ended or crashed", dist.all_reduce, x)
    raises(RuntimeError, "rank 1 ended or crashed", dist.recv, torch.ones(2), 1)
    raises(RuntimeError, "rank 1 ended or crashed", dist.barrier)
    raises(RuntimeError, "rank 1 ended or crashed", dist.all_reduce(x, async_op=True).wait)
    assert time.monotonic() - began < 10
    dist.destroy_process_group()


def test_a_rank_that_dies(processes):
    processes(deaths, codes=[0, 3])


def late():
    begin(20)
    limit = datetime.timedelta(seconds=0.1)
    g = dist.new_group([0, 1], timeout=limit)
    if rank == 0:
        raises(RuntimeError, "Timed out waiting 100ms for all_reduce", dist.all_reduce, torch.ones(2), group=g)
        raises(RuntimeError, "Timed out waiting 100ms for recv", dist.recv, torch.ones(2), 1, group=g)
        raises(RuntimeError, "Rank 1 failed to pass monitoredBarrier in 100 ms", dist.monitored_barrier, None, limit)
        work = dist.irecv(y := torch.zeros(2), 1, tag=9)
        raises(RuntimeError, "Timed out", work.wait, limit)
        dist.recv(y, 1)
    else:
        time.sleep(0.7)
        dist.send(torch.ones(2), 0)
    x = torch.ones(2)
    dist.all_reduce(x, group=dist.new_group([0, 1]))    # other groups go on
    assert x.tolist() == [2, 2]


def test_a_rank_that_comes_late(processes):
    processes(late)


def interrupted():
    import signal
    begin(60)
    x = torch.ones(3)
    dist.all_reduce(x)
    if rank == 0:
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            dist.all_reduce(x)
        except KeyboardInterrupt:
            dist.send(x, 1)                     # the connection is whole
    else:
        dist.recv(x, 0)


def test_interrupts(processes):
    processes(interrupted)
