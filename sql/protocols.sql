-- question: Which policies were evaluated, under which protocol, and how often did they succeed?
--
-- Rates under different protocols are not comparable: read down one protocol.
select
    evaluations.protocol,
    evaluations.task,
    models.kind as policy,
    evaluations.policy_id,
    count(*) as n,
    count(*) filter (where evaluations.success) as successes,
    count(*) filter (where evaluations.success) / count(*) as rate,
    wilson_low(count(*) filter (where evaluations.success), count(*)) as low,
    wilson_high(count(*) filter (where evaluations.success), count(*)) as high
from published_evaluations as evaluations
left join models on models.model_id = evaluations.policy_id
group by all
order by evaluations.protocol, evaluations.task, models.kind, evaluations.policy_id;
