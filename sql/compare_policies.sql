-- question: Does this policy succeed more often than the other, measured alike?
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION
-- param against: the policy it is compared with, named in the same way
-- show: task, n, rate, low, high, other_rate, other_low, other_high, difference, difference_low, difference_high, protocol, conditions
--
-- Only rates of one protocol and one task are compared, on the seeds that both policies were evaluated on, in pairs.
-- Intervals are 95 % (Wilson; for the difference Newcombe's for pairs). Where the policies share no protocol, or no
-- task and seed of one, there is no answer: the refusal names the fields in which the protocols differ.
with ours as (from published_evaluations where policy_id = $policy),

other as (from published_evaluations where policy_id = $against),

pairs as materialized (
    select
        protocol,
        task,
        count(*) as n,
        count(*) filter (where ours.success and other.success) as kept,
        count(*) filter (where ours.success and not other.success) as gained,
        count(*) filter (where other.success and not ours.success) as dropped,
        count(*) filter (where not ours.success and not other.success) as lost
    from ours
    join other using (protocol, task, seed)
    group by all
),

-- One row; or no answer at all.
checked as materialized (
    select comparable(
        (select count(*) from pairs), 'policy', 'evaluated', 'task and seed', $policy, $against,
        (select list(distinct protocol order by protocol) from ours),
        (select list(distinct protocol order by protocol) from other)
    ) as comparable
)

select
    protocol,
    task,
    n,
    (kept + gained) / n as rate,
    wilson_low(kept + gained, n) as low,
    wilson_high(kept + gained, n) as high,
    (kept + dropped) / n as other_rate,
    wilson_low(kept + dropped, n) as other_low,
    wilson_high(kept + dropped, n) as other_high,
    (gained - dropped) / n as difference,
    paired_low(kept, gained, dropped, lost) as difference_low,
    paired_high(kept, gained, dropped, lost) as difference_high,
    protocol_lines.conditions
from pairs
left join protocol_lines using (protocol)
cross join checked
where checked.comparable
order by protocol, task;
