{# Columns marked `filled_by` wait for the models that fill them and are null; whoever fills one takes the mark away. #}
{% test reserved_columns_are_empty(model) %}
select *
from {{ model }}
where {{ any_reserved_is_filled(model.identifier) }}
{% endtest %}
