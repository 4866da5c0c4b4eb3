{#
  Rounds a decimal half to even, exactly. The engine's own function goes through double precision
  (DuckDB writes it as a power of ten), so this one only uses integers and the exact decimal round.
  A tie is where round() away from zero has moved by exactly half a unit; an odd last digit then steps back.
#}
{% macro half_even(amount, scale=2) -%}
    {{ return(adapter.dispatch('half_even')(amount, scale)) }}
{%- endmacro %}

{% macro default__half_even(amount, scale) -%}
    {%- set unit = '0.' ~ '0' * (scale - 1) ~ '1' if scale > 0 else '1' -%}
    {%- set half = '0.' ~ '0' * scale ~ '5' -%}
    cast(
        round({{ amount }}, {{ scale }})
        - case
            when
                abs({{ amount }} - round({{ amount }}, {{ scale }})) = {{ half }}
                and cast(round({{ amount }}, {{ scale }}) * {{ 10 ** scale }} as hugeint) % 2 <> 0
                then sign({{ amount }}) * {{ unit }}
            else 0
        end
        as decimal(18, {{ scale }})
    )
{%- endmacro %}

{% macro spark__half_even(amount, scale) -%}
    cast(bround({{ amount }}, {{ scale }}) as decimal(18, {{ scale }}))
{%- endmacro %}


{# The exact product of a quantity and a unit price. Widened first: DuckDB keeps 18 digits for two narrow factors. #}
{% macro exact_product(quantity, unit_amount) -%}
    cast(cast({{ quantity }} as decimal(27, 3)) * {{ unit_amount }} as decimal(36, 9))
{%- endmacro %}
