-- The conditions under which something was measured, as its publication spells them out, by the digest that the rows of
-- `evaluations` and `alignments` carry. Rates of different protocols are not comparable.
create view published_protocols as
select distinct asset as measurement,
    coalesce(details -> 'protocol' ->> 'digest', left(sha256(details ->> 'protocol'), 32)) as protocol,
    details -> 'protocol' as conditions
from materializations
where asset in ('evaluation', 'alignment') and json_exists(details, '$.protocol');

-- One row a field of a protocol.
create view protocol_fields as
select protocol, field, conditions ->> field as value
from (select protocol, conditions, unnest(json_keys(conditions)) as field from published_protocols)
where field <> 'digest';

-- A protocol in one line.
create view protocol_lines as
select protocol, string_agg(field || ' = ' || coalesce(value, 'none'), ', ' order by field) as conditions
from protocol_fields
group by protocol;

-- In which fields two lists of protocols differ, in words: what a refusal says.
create macro protocol_difference(left_protocols, right_protocols) as (
    select coalesce(string_agg(field || ' ' || coalesce(one, 'none') || ' against ' || coalesce(other, 'none'), '; '
                               order by field), 'their fields were never published')
    from (
        select field,
            string_agg(distinct value, ' or ' order by value)
                filter (where list_contains(left_protocols, protocol)) as one,
            string_agg(distinct value, ' or ' order by value)
                filter (where list_contains(right_protocols, protocol)) as other
        from protocol_fields
        group by field
    )
    where one is distinct from other
);

-- True where there are pairs of two `kind`s of model that were `measured` under one protocol; else no answer but a refusal.
-- `one` and `other` name the two, `ours` and `others` list their protocols, pairs are of one and the same `place`.
create macro comparable(pairs, kind, measured, place, one, other, ours, others) as (
    case
        when pairs > 0 then true
        when ours is null then refuse(kind || ' ' || one || ' was never ' || measured)
        when others is null then refuse(kind || ' ' || other || ' was never ' || measured)
        when list_has_any(ours, others)
            then refuse('the two were ' || measured || ' under one protocol, but on no ' || place || ' in common')
        else refuse('the two were ' || measured || ' under unlike protocols ('
            || list_aggregate(ours, 'string_agg', ', ') || ' against ' || list_aggregate(others, 'string_agg', ', ')
            || '), so they cannot be compared: ' || protocol_difference(ours, others))
    end
);
