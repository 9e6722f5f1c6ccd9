-- The outcomes that some evaluation published. Table evaluations may hold more of its policies: what an evaluation that
-- was killed had got to, of some tasks more than of others. One takes the first seeds of its split, so what it published
-- of a task are the first rows.
create view published_evaluations as
with of_policy as (select protocol, unnest([base_policy, rl_policy]) as policy_id, tasks from comparisons),

of_task as (select protocol, policy_id, tasks, unnest(json_keys(tasks)) as task from of_policy),

published as (
    select protocol, policy_id, task, max((tasks -> task -> 'new' ->> 'n')::int) as n
    from of_task
    group by all
),

numbered as (
    select *, row_number() over (partition by policy_id, protocol, task order by seed) as place
    from evaluations
)

select numbered.* exclude (place)
from numbered
join published using (policy_id, protocol, task)
where place <= n;
