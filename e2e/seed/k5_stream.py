response = bedrock_runtime.invoke_model_with_response_stream(
    modelId='anthropic.claude-v2',
    body=json.dumps({
        "prompt": "Write a story about space exploration",
        "max_tokens_to_sample": 1000
    })
)
for event in response['body']:
    if 'chunk' in event:
        chunk = json.loads(event['chunk']['bytes'])
        print(chunk['completion'], end='', flush=True)
