-- The database, its owner and the logins of the services, as `image-manager up` makes them on one machine.
-- PostgreSQL's image runs this once, over an empty volume. It may be run again, for instance after a password
-- was changed in .env, or to make the login of a service that came with a later release:
--   docker compose exec postgres psql --username postgres --file /docker-entrypoint-initdb.d/bootstrap.sql
\set ON_ERROR_STOP on
\getenv migrator_password IMAGE_MIGRATOR_PASSWORD
\getenv api_password IMAGE_API_PASSWORD
\getenv processor_password IMAGE_PROCESSOR_PASSWORD
\getenv tasks_password IMAGE_TASKS_PASSWORD
\getenv delivery_password IMAGE_DELIVERY_PASSWORD

SELECT 'CREATE ROLE ' || role
FROM unnest(ARRAY['image_migrator', 'image_api', 'image_processor', 'image_tasks', 'image_delivery']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec

ALTER ROLE image_migrator LOGIN CREATEROLE PASSWORD :'migrator_password';
ALTER ROLE image_api LOGIN PASSWORD :'api_password';
ALTER ROLE image_processor LOGIN PASSWORD :'processor_password';
ALTER ROLE image_tasks LOGIN PASSWORD :'tasks_password';
ALTER ROLE image_delivery LOGIN PASSWORD :'delivery_password';
-- Without this the owner could not grant rights to roles that it did not make itself.
GRANT image_api, image_processor, image_tasks, image_delivery TO image_migrator WITH ADMIN OPTION;

SELECT 'CREATE DATABASE image_manager OWNER image_migrator'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'image_manager') \gexec

-- Whoever has no login of the system has no business in its database.
REVOKE CONNECT ON DATABASE image_manager FROM PUBLIC;
GRANT CONNECT ON DATABASE image_manager TO image_api, image_processor, image_tasks, image_delivery;

\connect image_manager
SET client_min_messages = warning;
-- The extension is not trusted: the superuser makes it, as a cloud administrator would.
CREATE EXTENSION IF NOT EXISTS vector;
