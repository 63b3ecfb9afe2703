import boto3
bedrock_client = boto3.client(
    'bedrock-runtime',
    region_name='us-east-1'
)
