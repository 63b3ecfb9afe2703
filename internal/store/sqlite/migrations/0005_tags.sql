-- Tags of resources stand in one place, the records of kind bedrock/resource, from
-- which decisions read them: those of inference profiles and of asynchronous
-- invocations go there.

-- +goose Up
INSERT INTO records (kind, account, region, name, body, version, updated_ms)
SELECT 'bedrock/resource', account, region,
       'arn:' || CASE WHEN region LIKE 'us-gov-%' THEN 'aws-us-gov' WHEN region LIKE 'cn-%' THEN 'aws-cn' ELSE 'aws' END
           || ':bedrock:' || region || ':' || account || ':application-inference-profile/' || id,
       CAST(json_object('tags', json(tags)) AS BLOB), 1, updated_ms
FROM inference_profiles WHERE tags NOT IN ('null', '{}');
INSERT INTO records (kind, account, region, name, body, version, updated_ms)
SELECT 'bedrock/resource', account, region,
       'arn:' || json_extract(CAST(spec AS TEXT), '$.partition') || ':bedrock:' || region || ':' || account || ':async-invoke/' || id,
       CAST(json_object('tags', json(json_extract(CAST(spec AS TEXT), '$.tags'))) AS BLOB), 1, updated_ms
FROM jobs WHERE kind = 'async-invoke' AND json_extract(CAST(spec AS TEXT), '$.tags') IS NOT NULL;
UPDATE records_revision SET revision = revision + 1;
ALTER TABLE inference_profiles DROP COLUMN tags;
