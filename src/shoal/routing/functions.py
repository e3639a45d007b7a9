"""
What may stand before a parenthesis in SQL and writes nothing.

A function that is not listed here may write: a project's own ones do.
"""

KEYWORDS = frozenset(
    """
    all and any array as between bit by case char character collate cross decimal
    distinct else end except exclude exists filter float from full group grouping
    having ilike in inner intersect interval into is join lateral left like limit
    materialized not null numeric of offset on only or order outer over partition
    precision recursive right row rows select sets signed some table then time
    timestamp union using values varchar varying when where window with within
    """.split()
)
"""Not functions at all."""

FUNCTIONS = frozenset(
    """
    abs acos age any_value array_agg array_append array_cat array_length
    array_position array_positions array_prepend array_remove array_replace
    array_to_json array_to_string ascii asin atan atan2 avg bit_and bit_count
    bit_length bit_or bit_xor bool_and bool_or btrim cardinality cast ceil ceiling
    char char_length character_length chr clock_timestamp coalesce col_description
    concat concat_ws connection_id convert corr cos cot count covar_pop covar_samp
    crc32 cume_dist current_date current_schema current_setting current_time
    current_timestamp database date date_add date_bin date_format date_part date_sub
    date_trunc datediff daterange datetime day dayofmonth dayofweek decode degrees
    dense_rank digest elt encode every exp extract field find_in_set first_value
    floor format format_type from_unixtime gen_random_uuid generate_series
    geomfromtext glob greatest group_concat has_column_privilege has_table_privilege
    hex host hour if ifnull iif inet_server_addr inet_server_port initcap instr
    int4range int8range isempty isfinite isodow json_agg json_array
    json_array_elements json_array_elements_text json_arrayagg json_build_array
    json_build_object json_contains json_each json_extract json_group_array
    json_group_object json_keys json_length json_object json_object_keys
    json_objectagg json_overlaps json_patch json_search json_strip_nulls json_type
    json_unquote json_valid json_value jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
    jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query
    jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof julianday justify_interval
    lag last_day last_value lcase lead least left length levenshtein ln localtime
    localtimestamp locate log lower lower_inc lower_inf lpad ltrim make_date
    make_interval make_set make_timestamp make_timestamptz max md5 microsecond mid
    min minute mod mode month multirange normalize now nth_value ntile nullif
    numrange obj_description octet_length overlaps overlay percent_rank
    percentile_cont percentile_disc period_diff pg_backend_pid pg_column_size
    pg_get_constraintdef pg_get_expr pg_get_indexdef pg_is_in_recovery
    pg_table_is_visible pg_typeof phraseto_tsquery pi plainto_tsquery position power
    printf quarter quote_ident quote_literal radians rand random range_merge rank
    regexp_count regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_substr regr_slope repeat replace reverse right round row_number
    row_to_json rpad rtrim sec_to_time second setweight sha1 sha2 sha224 sha256
    sha384 sha512 sign similarity sin soundex split_part sqrt starts_with
    statement_timestamp std stddev stddev_pop stddev_samp str_to_date strftime
    strict_word_similarity string_agg string_to_array strpos substr substring
    substring_index sum tan time_to_sec timediff timestampadd timestampdiff timezone
    to_char to_date to_days to_json to_jsonb to_number to_regclass to_timestamp
    to_tsquery to_tsvector total translate trim trim_array trunc truncate
    ts_headline ts_rank ts_rank_cd tsrange tstzrange typeof ucase unaccent unhex
    unix_timestamp unnest upper upper_inc upper_inf utc_timestamp uuid var_pop
    var_samp variance version websearch_to_tsquery week weekday width_bucket
    word_similarity xmlagg xor year yearweek
    """.split()
)
"""Those of PostgreSQL, MariaDB, MySQL and SQLite that Django's expressions and people's
queries call.
https://www.postgresql.org/docs/current/functions.html
https://mariadb.com/kb/en/built-in-functions/"""

HARMLESS = KEYWORDS | FUNCTIONS

HARMLESS_BEGINNINGS = ("st_",)
"""PostGIS and the spatial functions of MariaDB and MySQL.
https://postgis.net/docs/reference.html"""
