{{ product_lives_at(as_of()) }}

select * from final
