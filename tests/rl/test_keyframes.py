from worldvla.rl.keyframes import choose


def row(episode_id, label, split="train", best=0):
    return {"episode_id": episode_id, "label": label, "split": split, "best_progress_step": best, "task": "T"}


def test_every_training_episode_gives_a_start_and_failures_a_keyframe_before_their_best_moment():
    rows = choose(
        [
            row("d", "failure", best=41),
            row("a", "success", best=40),
            row("b", "near_success", best=10),
            row("c", "failure", "heldout", best=40),
            row("e", "near_success", best=39),
        ],
        lead=16,
        chunk=8,
    )
    assert [(r["episode_id"], r["step"], r["kind"]) for r in rows] == [
        ("a", 0, "start"),
        ("b", 0, "start"),  # 16 actions before step 10 is the start itself
        ("d", 0, "start"),
        ("d", 24, "near_failure"),
        ("e", 0, "start"),
        ("e", 16, "near_failure"),
    ]
