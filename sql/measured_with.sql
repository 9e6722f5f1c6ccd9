-- question: What was this policy's success rate measured with?
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION
--
-- `protocol` is the digest that every evaluated episode carries; `conditions` are the fields that it digests, as the
-- evaluation's publication spells them out. Intervals are 95 % (Wilson). Two policies: compare_policies.
select
    evaluations.protocol,
    evaluations.task,
    count(*) as n,
    count(*) filter (where success) as successes,
    count(*) filter (where success) / count(*) as rate,
    wilson_low(count(*) filter (where success), count(*)) as low,
    wilson_high(count(*) filter (where success), count(*)) as high,
    min(seed) as first_seed,
    max(seed) as last_seed,
    protocol_lines.conditions
from published_evaluations as evaluations
left join protocol_lines using (protocol)
where policy_id = $policy
group by evaluations.protocol, evaluations.task, protocol_lines.conditions
order by evaluations.protocol, evaluations.task;
