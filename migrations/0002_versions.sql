-- A version is a number of the tenant's change log and never comes twice, so no incarnation is needed beside it.
ALTER TABLE end_users DROP COLUMN incarnation;
