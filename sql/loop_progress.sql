-- question: How did each iteration go: success of base and new policy, alignment of the world model, counts, budgets?
-- param campaign: a campaign
-- show: iteration, base_success, new_success, difference, difference_low, difference_high, exploited, reward_alignment, reward_alignment_low, visual_alignment, psnr_last, gate, fed_back, failures_published, real_steps, imagined_steps
--
-- Success is measured on held-out initial states in the real simulator, both policies on the same ones; intervals are
-- 95 % (Wilson; for the difference Newcombe's for pairs). reward_alignment: how often the reward head, on imagined
-- frames, says the true outcome; visual_alignment: how often the judge, on imagined frames, does; judge_accuracy: how
-- often the judge does on the real frames. imagined_gain: by how much more often the new policy succeeds in imagination,
-- both as they are deployed; exploited: it does, and in the simulator it does not, over all tasks or in one of them
-- (worldvla/rl/exploitation.py). Columns of assets that an iteration has not reached are empty. Figures of iterations are
-- comparable where their protocols are the same; compare_policies and compare_world_models see to it.
with mine as materialized (from current where campaign = $campaign and iteration <> ''),

iterations_begun as (select distinct iteration from mine),

compared as (from current_comparisons where campaign = $campaign),

aligned as (
    select
        mine.iteration,
        any_value(protocol) as protocol,
        count(*) as n,
        count(*) filter (where reward_success = true_success) as reward_right,
        count(*) filter (where judged_success_imagined = true_success) as visual_right,
        count(*) filter (where judged_success_real = true_success) as judge_right,
        avg(psnr_last) as psnr_last,
        avg(psnr) as psnr,
        avg(ssim) as ssim,
        avg(flip) as flip,
        avg(lpips) as lpips
    from mine
    join alignments on alignments.alignment_version = mine.data_version
    where mine.asset = 'alignment'
    group by mine.iteration
),

gates as (
    select iteration, coalesce('failed: ' || blocking_failure, 'passed') as gate
    from mine
    where asset = 'alignment'
),

curated as (
    select
        mine.iteration,
        count(*) filter (where label = 'success') as success,
        count(*) filter (where label = 'near_success') as near_success,
        count(*) filter (where label = 'failure') as failure,
        count(*) filter (where origin = 'feedback') as fed_back
    from mine
    left join mine as trained on trained.iteration = mine.iteration and trained.asset = 'world_model'
    -- What its world model was trained on, where there is one: SANS may have been made anew since.
    join sans on sans.sans_version = coalesce(trained.parents ->> 'sans', mine.data_version)
    where mine.asset = 'sans'
    group by mine.iteration
),

published as (
    select mine.iteration, coalesce(members.episodes, 0) as failures
    from mine
    left join (
        select set_version, count(*) as episodes
        from episode_sets anti join retractions using (episode_id)
        group by set_version
    ) as members on members.set_version = mine.data_version
    where mine.asset = 'failure_rollouts'
),

budgets as (
    select iteration, sum(real_steps)::bigint as real_steps, sum(imagined_steps)::bigint as imagined_steps
    from mine
    group by iteration
)

select
    iteration,
    compared.n as evaluated,
    base_successes,
    base_success,
    base_low,
    base_high,
    new_successes,
    new_success,
    new_low,
    new_high,
    difference,
    difference_low,
    difference_high,
    imagined_gain,
    exploited,
    aligned.n as aligned,
    reward_right / aligned.n as reward_alignment,
    wilson_low(reward_right, aligned.n) as reward_alignment_low,
    wilson_high(reward_right, aligned.n) as reward_alignment_high,
    visual_right / aligned.n as visual_alignment,
    wilson_low(visual_right, aligned.n) as visual_alignment_low,
    wilson_high(visual_right, aligned.n) as visual_alignment_high,
    judge_right / aligned.n as judge_accuracy,
    psnr_last,
    psnr,
    ssim,
    flip,
    lpips,
    gate,
    success as sans_success,
    near_success as sans_near_success,
    failure as sans_failure,
    fed_back,
    failures as failures_published,
    real_steps,
    imagined_steps,
    compared.protocol as evaluation_protocol,
    aligned.protocol as alignment_protocol
from iterations_begun
left join compared using (iteration)
left join aligned using (iteration)
left join gates using (iteration)
left join curated using (iteration)
left join published using (iteration)
left join budgets using (iteration)
order by iteration;
