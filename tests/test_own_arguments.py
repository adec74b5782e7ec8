from keras_vit.own_arguments import own_arguments


class _Made:
    def __init__(self, first, second=(1, 2), **kwargs):
        self.first = first
        self.second = tuple(second)


def test_own_arguments_are_those_of_init_in_its_order_without_kwargs():
    made = _Made(3, second=[4, 5], name="made")
    assert list(own_arguments(made).items()) == [("first", 3), ("second", (4, 5))]
