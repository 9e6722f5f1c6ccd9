-- What every evaluation published of its base and its new policy: rates with their 95 % intervals (Wilson), and the
-- difference on the same seeds (Newcombe's for pairs).
create view comparisons as
select
    campaign,
    iteration,
    materialized_at,
    -- Rows of `evaluations` are keyed by the digest of the protocol that the publication spells out.
    left(sha256(details ->> 'protocol'), 32) as protocol,
    parents ->> 'base_policy' as base_policy,
    parents ->> 'rl_policy' as rl_policy,
    details -> 'tasks' as tasks,
    (details -> 'new' ->> 'n')::int as n,
    (details -> 'base' ->> 'successes')::int as base_successes,
    (details -> 'base' ->> 'rate')::double as base_success,
    (details -> 'base' ->> 'low')::double as base_low,
    (details -> 'base' ->> 'high')::double as base_high,
    (details -> 'new' ->> 'successes')::int as new_successes,
    (details -> 'new' ->> 'rate')::double as new_success,
    (details -> 'new' ->> 'low')::double as new_low,
    (details -> 'new' ->> 'high')::double as new_high,
    (details -> 'difference' ->> 'difference')::double as difference,
    (details -> 'difference' ->> 'low')::double as difference_low,
    (details -> 'difference' ->> 'high')::double as difference_high,
    (details -> 'exploitation' ->> 'imagined_gain')::double as imagined_gain,
    (details -> 'exploitation' ->> 'exploited')::boolean as exploited
from materializations
where asset = 'evaluation';

-- What the newest evaluation of each iteration did.
create view current_comparisons as
from comparisons
semi join (select campaign, iteration, materialized_at from current where asset = 'evaluation') as newest
    using (campaign, iteration, materialized_at);
