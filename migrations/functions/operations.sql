-- Lists for operators.

-- Parked jobs by number, in either direction.
create or replace function parked_page(p_state text, p_order text, p_queue text, p_id bigint, p_limit integer)
returns setof parked_jobs language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query execute format(
        'select j.* from parked_jobs j where %s and %s and ($1 is null or j.queue = $1) order by %s limit $3',
        case p_state when 'open' then 'j.resolved_at is null' when 'resolved' then 'j.resolved_at is not null'
                     else 'true' end,
        case when p_id is null then 'true' when p_order = 'oldest' then 'j.id > $2' else 'j.id < $2' end,
        case p_order when 'oldest' then 'j.id' else 'j.id desc' end)
    using p_queue, p_id, p_limit;
end
$$;

-- Newest first, by time and then by number.
create or replace function actions_page(p_action text, p_target text, p_since timestamptz, p_until timestamptz, p_at timestamptz,
    p_id bigint, p_limit integer)
returns setof operator_actions language plpgsql stable set search_path = public, pg_temp as $$
begin
    return query execute
        'select a.* from operator_actions a
         where (a.at, a.id) < (coalesce($5, ''infinity''), coalesce($6, 0)) and a.at < $4 and a.at >= $3
             and ($1 is null or a.action = $1) and ($2 is null or a.target = $2)
         order by a.at desc, a.id desc limit $7'
    using p_action, p_target, coalesce(p_since, '-infinity'), coalesce(p_until, 'infinity'), p_at, p_id, p_limit;
end
$$;

revoke execute on function
    parked_page(text, text, text, bigint, integer),
    actions_page(text, text, timestamptz, timestamptz, timestamptz, bigint, integer)
    from public;

grant execute on function
    parked_page(text, text, text, bigint, integer),
    actions_page(text, text, timestamptz, timestamptz, timestamptz, bigint, integer)
    to quittance_api;
