-- Ended jobs are dropped in the order of their ends.

-- +goose Up
CREATE INDEX jobs_ended ON jobs (ended_ms) WHERE ended_ms > 0;
