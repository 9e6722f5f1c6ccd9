-- question: How many real interaction steps did each campaign spend by each iteration, and what success did they gain?
-- show: campaign, iteration, real_steps, imagined_steps, n, base_success, new_success, difference, difference_low, difference_high
--
-- real_steps are all steps of the real simulator until then that the policy owes something to: demonstrations, exploration,
-- the probes by which it was chosen and, from the iterations before, collection. What evaluating cost is apart, in
-- evaluation_steps: it teaches nothing.
-- Ablations are campaigns too, so one table compares them; read down one protocol and one base policy.
with recorded as (
    select
        campaign,
        iteration,
        asset,
        -- What an iteration collects is learned from by the next one.
        case when asset = 'policy_rollouts' then lpad((iteration::int + 1)::varchar, 4, '0') else iteration end as learned_in,
        real_steps,
        imagined_steps
    from current
),

spent as (
    select
        evaluated.campaign,
        evaluated.iteration,
        coalesce(sum(real_steps) filter (where asset <> 'evaluation' and learned_in <= evaluated.iteration), 0)::bigint
            as real_steps,
        coalesce(sum(imagined_steps) filter (where recorded.iteration <= evaluated.iteration), 0)::bigint
            as imagined_steps,
        coalesce(sum(real_steps) filter (where asset = 'evaluation' and recorded.iteration <= evaluated.iteration), 0)
            ::bigint as evaluation_steps
    from current_comparisons as evaluated
    join recorded using (campaign)
    group by all
)

select
    campaign,
    iteration,
    real_steps,
    imagined_steps,
    evaluation_steps,
    n,
    base_success,
    new_success,
    difference,
    difference_low,
    difference_high,
    protocol,
    base_policy
from current_comparisons
join spent using (campaign, iteration)
order by protocol, base_policy, campaign, iteration;
