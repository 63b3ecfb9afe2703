import json
import boto3
client = boto3.client('bedrock-runtime', region_name='us-east-1')
prompt = "Explain quantum computing in simple terms."
body = json.dumps({
    "prompt": f"\n\nHuman: {prompt}\n\nAssistant:",
    "max_tokens_to_sample": 300,
    "temperature": 0.7
})
response = client.invoke_model(
    body=body,
    modelId='anthropic.claude-v2',
    contentType='application/json'
)
response_body = json.loads(response.get('body').read())
print(response_body['completion'])
