from sitsinfer import memory


def test_memory_is_given_back_wherever_the_library_can() -> None:
    memory.share_pools()
    memory.settle()
    memory.settle()  # in each tile, and done once
    assert memory.settle.cache_info().misses == 1
    memory.give_back()
