-- What one client does again and again, for pgbench. It thinks first, so that what pgbench writes down at the end is the moment of the answer to COMMIT.
\sleep :think ms
\set customer random(1, 20000)
\set product random(1, 10000)
\set category random(0, 99)
\set quantity random(1, 3)
\set sequence :sequence + 1
begin;
select name from customers where id = :customer;
select id, title, price from products where category = :category order by title limit 10;
select price from products where id = :product \gset
\set total :price * :quantity
update stock set quantity = quantity - :quantity, sold = sold + :quantity where product = :product;
update customers set orders = orders + 1, spent = spent + :total where id = :customer;
insert into orders (customer, total) values (:customer, :total) returning id as order \gset
insert into order_lines values (:order, :product, :quantity);
insert into ledger values (:load, :client_id, :sequence, :order);
commit;
