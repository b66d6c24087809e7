"""The same seed and the same questions meet the same faults."""

from collections import Counter

from firmware_sim.faults import CATALOGUE, Fault, FaultPlan, Misfortune

PLAN = FaultPlan(silent=0.1, late=0.1, bad_checksum=0.1, truncated=0.1, exception=0.1)


def _fates(seed: str, plan: FaultPlan = PLAN, questions: int = 2000) -> list[Fault]:
    misfortune = Misfortune(plan, seed)
    return [misfortune.next() for _ in range(questions)]


def test_one_seed_one_fate() -> None:
    assert _fates("a") == _fates("a")
    assert _fates("a") != _fates("b")


def test_each_fault_comes_about_as_often_as_it_was_told_to() -> None:
    seen = Counter(_fates("a"))
    for fault, share in PLAN.shares():
        assert abs(seen[fault] / 2000 - share) < 0.03
    assert abs(seen[Fault.NONE] / 2000 - 0.5) < 0.05


def test_dead_is_always_dead_and_certain_is_certain() -> None:
    assert set(_fates("a", FaultPlan(dead=True, silent=0.5))) == {Fault.DEAD}
    assert set(_fates("a", FaultPlan(late=1.0))) == {Fault.LATE}
    assert set(_fates("a", FaultPlan())) == {Fault.NONE}


def test_damage_turns_one_bit_or_cuts_the_end() -> None:
    reply = bytes(range(20))
    misfortune = Misfortune(PLAN, "a")
    for _ in range(200):
        damaged = misfortune.damage(Fault.BAD_CHECKSUM, reply)
        turned = [one ^ other for one, other in zip(reply, damaged, strict=True) if one != other]
        assert len(turned) == 1
        assert turned[0].bit_count() == 1
        cut = misfortune.damage(Fault.TRUNCATED, reply)
        assert 0 < len(cut) < len(reply)
        assert reply.startswith(cut)


def test_the_catalogue_names_every_fault() -> None:
    assert set(CATALOGUE) == set(Fault) - {Fault.NONE}
