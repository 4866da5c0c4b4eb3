-- How wide a customer bought by each cut-off: channels, categories and the category of the highest spend. One row per
-- cut-off and customer with an order by then. The catalogue has no history: a category is the one known at as_of.
with

cutoffs as (select * from {{ ref('int_feature_cutoffs') }}),

source_customers as (select * from {{ ref('source_customers') }}),

products as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}

),

sales as (

    select
        channel,
        source_customer_id,
        business_date,
        sku,
        gross_exact_amount,
        quantity
    from {{ ref('int_order_lines_valued') }}
    where is_sale and item_class = 'product' and source_customer_id is not null

),

-- A day is summed once, for the first cut-off that sees it; later cut-offs add those sums up.
sale_days as (select distinct business_date from sales),

first_cutoffs as (

    select
        sale_days.business_date,
        min(cutoffs.cutoff_date) as cutoff_date
    from sale_days
    inner join cutoffs on sale_days.business_date <= cutoffs.cutoff_date
    group by sale_days.business_date

),

account_products as (

    select
        sales.channel,
        sales.source_customer_id,
        sales.sku,
        first_cutoffs.cutoff_date,
        sum(sales.gross_exact_amount) as gross_exact_amount,
        sum(sales.quantity) as item_quantity
    from sales
    inner join first_cutoffs on sales.business_date = first_cutoffs.business_date
    group by sales.channel, sales.source_customer_id, sales.sku, first_cutoffs.cutoff_date

),

category_steps as (

    select
        source_customers.customer_id,
        products.category_name,
        account_products.cutoff_date,
        sum(account_products.gross_exact_amount) as gross_exact_amount,
        sum(account_products.item_quantity) as item_quantity
    from account_products
    inner join source_customers
        on
            account_products.channel = source_customers.channel
            and account_products.source_customer_id = source_customers.source_customer_id
    inner join products on account_products.sku = products.sku
    where products.category_name is not null
    group by source_customers.customer_id, products.category_name, account_products.cutoff_date

),

category_sums as (

    select
        cutoffs.cutoff_date,
        category_steps.customer_id,
        category_steps.category_name,
        sum(category_steps.gross_exact_amount) as gross_exact_amount,
        sum(category_steps.item_quantity) as item_quantity
    from category_steps
    inner join cutoffs on category_steps.cutoff_date <= cutoffs.cutoff_date
    group by cutoffs.cutoff_date, category_steps.customer_id, category_steps.category_name

),

ranked_categories as (

    select
        cutoff_date,
        customer_id,
        category_name,
        row_number() over (
            partition by cutoff_date, customer_id
            order by gross_exact_amount desc nulls last, item_quantity desc, category_name
        ) as place
    from category_sums

),

categories as (

    select
        cutoff_date,
        customer_id,
        count(*) as category_count,
        max(case when place = 1 then category_name end) as main_category_name
    from ranked_categories
    group by cutoff_date, customer_id

),

customer_channels as (

    select
        source_customers.customer_id,
        account_days.channel,
        min(account_days.business_date) as first_order_date
    from {{ ref('int_account_days') }} as account_days
    inner join source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id
    where account_days.order_count > 0
    group by source_customers.customer_id, account_days.channel

),

channels as (

    select
        cutoffs.cutoff_date,
        customer_channels.customer_id,
        count(*) as channel_count
    from customer_channels
    inner join cutoffs on customer_channels.first_order_date <= cutoffs.cutoff_date
    group by cutoffs.cutoff_date, customer_channels.customer_id

),

final as (

    select
        channels.cutoff_date,
        channels.customer_id,
        channels.channel_count,
        coalesce(categories.category_count, 0) as category_count,
        categories.main_category_name
    from channels
    left join categories
        on
            channels.cutoff_date = categories.cutoff_date
            and channels.customer_id = categories.customer_id

)

select * from final
