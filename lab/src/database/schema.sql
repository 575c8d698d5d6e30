-- A shop, after the DVD Store that database servers are commonly loaded with; and a ledger, by which it is known what a client was told.
create table customers (id int primary key, name text not null, orders int not null default 0, spent int not null default 0);
create table products (id int primary key, category int not null, title text not null, price int not null);
create table stock (product int primary key references products, quantity int not null, sold int not null default 0);
create table orders (id bigserial primary key, customer int not null references customers, at timestamptz not null default now(), total int not null);
create table order_lines (order_id bigint not null references orders, product int not null references products, quantity int not null);
-- One row a transaction: which load, which of its clients, the how-manieth of that client.
create table ledger (load int, client int, sequence int, order_id bigint not null, primary key (load, client, sequence));

insert into customers (id, name) select n, 'customer ' || md5(n::text) from generate_series(1, 20000) n;
insert into products select n, n % 100, 'title ' || md5((n * 7)::text), 500 + n % 2500 from generate_series(1, 10000) n;
insert into stock (product, quantity) select id, 1000000 from products;
create index on products (category, title);
create index on orders (customer, at);
create index on order_lines (order_id);
create extension amcheck;
vacuum (freeze, analyze);
checkpoint;
