"""Who may come into the process's workload, and who has to wait for whom."""

from __future__ import annotations

from streams.slot.workload import Workload


def test_no_more_are_in_work_than_the_limit() -> None:
    workload = Workload(2)
    one, other = workload.entrance(), workload.entrance()
    assert one.admit(alone=False)
    assert other.admit(alone=False)
    assert not one.admit(alone=False)
    other.leave()
    assert one.admit(alone=False)


def test_a_suspect_is_alone() -> None:
    workload = Workload(4)
    suspect, other = workload.entrance(), workload.entrance()
    assert suspect.admit(alone=True)
    assert not other.admit(alone=False)
    assert not suspect.admit(alone=False)
    suspect.leave()
    assert other.admit(alone=False)


def test_a_suspect_that_waits_closes_the_door_until_it_came_in() -> None:
    workload = Workload(4)
    suspect, other = workload.entrance(), workload.entrance()
    assert other.admit(alone=False)
    assert not suspect.admit(alone=True)
    assert not other.has_room()
    assert not other.admit(alone=False)
    other.leave()
    assert not other.has_room()
    assert not other.admit(alone=False)
    assert suspect.has_room()
    assert suspect.admit(alone=True)


def test_a_suspect_comes_in_before_the_others_of_its_own_slot() -> None:
    workload = Workload(4)
    slot, other = workload.entrance(), workload.entrance()
    assert other.admit(alone=False)
    assert not slot.admit(alone=True)
    other.leave()
    assert not slot.admit(alone=False)
    assert slot.admit(alone=True)


def test_suspects_of_several_slots_come_in_one_after_the_other() -> None:
    workload = Workload(4)
    first, second, other = workload.entrance(), workload.entrance(), workload.entrance()
    assert other.admit(alone=False)
    assert not first.admit(alone=True)
    assert not second.admit(alone=True)
    other.leave()
    assert not second.admit(alone=True)
    assert first.admit(alone=True)
    first.leave()
    assert not other.admit(alone=False)
    assert second.admit(alone=True)


def test_a_suspect_that_is_withdrawn_opens_the_door() -> None:
    workload = Workload(4)
    suspect, other = workload.entrance(), workload.entrance()
    assert other.admit(alone=False)
    assert not suspect.admit(alone=True)
    suspect.rest()
    assert other.admit(alone=False)


def test_who_was_refused_is_woken_when_there_is_room_and_a_suspect_when_it_is_its_turn() -> None:
    workload = Workload(1)
    woken: list[str] = []
    inside = workload.entrance(lambda: woken.append("inside"))
    waiting = workload.entrance(lambda: woken.append("waiting"))
    suspect = workload.entrance(lambda: woken.append("suspect"))
    assert inside.admit(alone=False)
    assert not waiting.has_room()
    inside.leave()
    assert woken == ["waiting"]
    waiting.rest()
    assert inside.admit(alone=False)
    assert not waiting.has_room()
    assert not suspect.admit(alone=True)
    inside.leave()
    assert woken == ["waiting", "suspect"]


def test_a_slot_that_waits_gets_its_share_however_much_another_has_to_do() -> None:
    workload = Workload(4)
    busy, waiting = workload.entrance(), workload.entrance()
    for _ in range(4):
        assert busy.admit(alone=False)
    begun = []
    for _ in range(8):  # a document of the busy one ends, and it asks first for the room
        assert not waiting.has_room()
        busy.leave()
        begun += [one for one in (busy, waiting) if one.has_room() and one.admit(alone=False)]
        if begun.count(waiting) == 2:
            break
    assert begun == [waiting, waiting]


def test_the_room_of_a_slot_that_wants_nothing_more_is_the_others() -> None:
    workload = Workload(2)
    busy, other = workload.entrance(), workload.entrance()
    assert busy.admit(alone=False)
    assert busy.admit(alone=False)
    assert not other.has_room()
    busy.leave()
    assert not busy.has_room()
    other.rest()
    assert busy.admit(alone=False)


def test_slots_take_turns_where_there_is_room_for_one() -> None:
    workload = Workload(1)
    one, other = workload.entrance(), workload.entrance()
    assert one.admit(alone=False)
    assert not other.has_room()
    one.leave()
    assert not one.has_room()
    assert other.admit(alone=False)
    other.leave()
    assert not other.has_room()
    assert one.admit(alone=False)


def test_what_a_slot_had_in_work_counts_no_more_when_it_is_closed() -> None:
    workload = Workload(1)
    one, other = workload.entrance(), workload.entrance()
    assert one.admit(alone=False)
    one.close()
    one.leave()
    assert other.admit(alone=False)
    assert workload.count == 1
