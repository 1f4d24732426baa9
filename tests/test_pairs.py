"""Pair graphs: which frames are compared."""

import pytest

from easi3r import InputError, pairs


def test_65_frames_of_the_usual_graph_have_600_directed_pairs():
    edges = pairs.build(65)
    assert len(edges) == len(set(edges)) == 600
    assert {j - i for i, j in edges[:300]} == {1, 3, 5, 7, 9} and edges[300:] == [(j, i) for i, j in edges[:300]]


@pytest.mark.parametrize(
    ("graph", "offsets"),
    [("swin-3-noncyclic", {1, 2, 3}), ("swinstride-3-noncyclic", {1, 3, 5}), ("swin2stride-3-noncyclic", {1, 4, 7})],
)
def test_windows_take_these_offsets(graph, offsets):
    edges = pairs.build(20, graph)
    assert {j - i for i, j in edges if i < j} == offsets
    assert len(edges) == 2 * sum(20 - offset for offset in offsets)


def test_a_cyclic_window_goes_round_the_end():
    assert set(pairs.build(5, "swin-1")) == {(i, j) for i in range(5) for j in range(5) if (i - j) % 5 in (1, 4)}


@pytest.mark.parametrize("graph", ["swinstride-5-noncyclic", "swin2stride-4", "swin-9", "complete"])
@pytest.mark.parametrize("n_frames", [2, 3, 4])
def test_short_clips_have_each_pair_at_most_once_in_each_direction(graph, n_frames):
    edges = pairs.build(n_frames, graph)
    assert len(edges) == len(set(edges)) and {tuple(reversed(edge)) for edge in edges} == set(edges)
    assert all(0 <= i < n_frames and 0 <= j < n_frames and i != j for i, j in edges)
    assert set(range(n_frames)) == {i for i, _ in edges}


def test_one_frame_is_compared_with_itself():
    assert pairs.build(1) == [(0, 0)]


def test_all_with_one_and_all_with_all():
    assert set(pairs.build(4, "oneref-2")) == {(2, 0), (2, 1), (2, 3), (0, 2), (1, 2), (3, 2)}
    assert len(pairs.build(6, "complete")) == 30
    with pytest.raises(InputError, match="only 2 frames"):
        pairs.build(2, "oneref-2")
