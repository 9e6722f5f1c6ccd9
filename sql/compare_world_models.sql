-- question: Does this world model imagine the truth more often than the other, measured alike?
-- param model: a world model: a prefix of its id, or CAMPAIGN/ITERATION
-- param against: the world model it is compared with, named in the same way
--
-- Both replayed the same held-out episodes under one protocol, the judge and the set of episodes among its fields; only
-- such pairs are compared. reward_alignment: how often the reward head, on imagined frames, says the true outcome;
-- visual_alignment: how often the judge does. Differences have 95 % intervals (Newcombe's for pairs). Where the models
-- share no protocol there is no answer: the refusal names the fields in which the protocols differ.
with ours as (from alignments where model_id = $model),

other as (from alignments where model_id = $against),

pairs as materialized (
    select
        protocol,
        count(*) as n,
        count(*) filter (where ours.reward_success = ours.true_success and other.reward_success = ours.true_success)
            as reward_kept,
        count(*) filter (where ours.reward_success = ours.true_success and other.reward_success <> ours.true_success)
            as reward_gained,
        count(*) filter (where ours.reward_success <> ours.true_success and other.reward_success = ours.true_success)
            as reward_dropped,
        count(*) filter (where ours.judged_success_imagined = ours.true_success
                           and other.judged_success_imagined = ours.true_success) as visual_kept,
        count(*) filter (where ours.judged_success_imagined = ours.true_success
                           and other.judged_success_imagined <> ours.true_success) as visual_gained,
        count(*) filter (where ours.judged_success_imagined <> ours.true_success
                           and other.judged_success_imagined = ours.true_success) as visual_dropped,
        avg(ours.psnr_last) as psnr_last,
        avg(other.psnr_last) as other_psnr_last
    from ours
    -- An alignment published again with other figures has rows of its own: each pair once.
    join (
        from other qualify row_number() over (partition by protocol, episode_id order by alignment_version) = 1
    ) as other using (protocol, episode_id)
    group by protocol, ours.alignment_version
    qualify row_number() over (partition by protocol order by ours.alignment_version) = 1
),

-- One row; or no answer at all.
checked as materialized (
    select comparable(
        (select count(*) from pairs), 'world model', 'aligned', 'episode', $model, $against,
        (select list(distinct protocol order by protocol) from ours),
        (select list(distinct protocol order by protocol) from other)
    ) as comparable
)

select
    protocol,
    n,
    (reward_kept + reward_gained) / n as reward_alignment,
    (reward_kept + reward_dropped) / n as other_reward_alignment,
    (reward_gained - reward_dropped) / n as reward_difference,
    paired_low(reward_kept, reward_gained, reward_dropped, n - reward_kept - reward_gained - reward_dropped)
        as reward_difference_low,
    paired_high(reward_kept, reward_gained, reward_dropped, n - reward_kept - reward_gained - reward_dropped)
        as reward_difference_high,
    (visual_kept + visual_gained) / n as visual_alignment,
    (visual_kept + visual_dropped) / n as other_visual_alignment,
    (visual_gained - visual_dropped) / n as visual_difference,
    paired_low(visual_kept, visual_gained, visual_dropped, n - visual_kept - visual_gained - visual_dropped)
        as visual_difference_low,
    paired_high(visual_kept, visual_gained, visual_dropped, n - visual_kept - visual_gained - visual_dropped)
        as visual_difference_high,
    psnr_last,
    other_psnr_last,
    protocol_lines.conditions
from pairs
left join protocol_lines using (protocol)
cross join checked
where checked.comparable
order by protocol;
