{#
  Documents are stepped by their key, because their records may be of several days. int_orders_touched knows the keys;
  it reads the documents of the night before by address: they are made after it.
#}
{% macro order_key(relation='') -%}
    concat_ws('|', {{ relation ~ '.' if relation }}channel, {{ relation ~ '.' if relation }}order_id)
{%- endmacro %}


{% macro touched_order_keys() -%}
    select order_key from {{ ref('int_orders_touched') }}
{%- endmacro %}


{# Join that keeps, while the table is stepped, only what is of a touched document. #}
{% macro only_touched_orders(relation) -%}
    {%- if is_stepping() %}
    inner join (select distinct channel, order_id from {{ ref('int_orders_touched') }}) as touched_orders
        on
            {{ relation }}.channel = touched_orders.channel
            and {{ relation }}.order_id = touched_orders.order_id
    {%- endif -%}
{%- endmacro %}


{# The documents as they are now; none where there are none of this shape. #}
{% macro documents_before() %}
    {%- if not execute or not is_stepping() -%}{{ return(none) }}{%- endif -%}
    {%- set relation = adapter.get_relation(
        database=this.database, schema='intermediate', identifier='int_order_documents'
    ) -%}
    {%- if relation is none or not relation.is_table -%}{{ return(none) }}{%- endif -%}
    {%- set names = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
    {{ return(relation if 'first_record_date' in names else none) }}
{% endmacro %}
