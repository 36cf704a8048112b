-- The mark of the change at which a listing stands. An object that was restored numbers its next changes like those that
-- it has lost, and gives them other marks.
ALTER TABLE projections ADD COLUMN mark TEXT NOT NULL DEFAULT '';

UPDATE schema SET version = 3, served_from = 3;
