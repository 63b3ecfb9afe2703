package policytest

import "github.com/outcrop/outcrop/internal/access/policy"

// The accounts of the world that the maker knows.
const (
	ours   = "111122223333"
	theirs = "444455556666"
)

// target is an action and what it may be done on.
type target struct {
	action    string
	resources []string
	keys      []string // the keys of the action besides those of all actions
}

// targets are real actions of real services, so that a judge which knows those
// alone can judge too.
func targets() []target {
	models := []string{
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1",
		"arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-text-express-v1",
		"arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-8b-instruct-v1:0",
	}
	profiles := []string{
		"arn:aws:bedrock:us-east-1:" + ours + ":application-inference-profile/abcdefghijkl",
		"arn:aws:bedrock:us-east-1:" + ours + ":inference-profile/us.anthropic.claude-v2",
		"arn:aws:bedrock:us-east-1:" + theirs + ":application-inference-profile/mnopqrstuvwx",
		"arn:aws:bedrock:us-east-1:" + ours + ":provisioned-model/blue",
	}
	invoke := []string{"bedrock:GuardrailIdentifier", "bedrock:InferenceProfileArn", "bedrock:ServiceTier", "bedrock:PromptRouterArn"}
	guardrails := []string{
		"arn:aws:bedrock:us-east-1:" + ours + ":guardrail/abc123",
		"arn:aws:bedrock:us-east-1:" + ours + ":guardrail/red",
		"arn:aws:bedrock:eu-west-1:" + theirs + ":guardrail/abc123",
	}
	users := []string{
		"arn:aws:iam::" + ours + ":user/ann",
		"arn:aws:iam::" + ours + ":user/eng/bob",
		"arn:aws:iam::" + theirs + ":user/red",
	}
	roles := []string{
		"arn:aws:iam::" + ours + ":role/app",
		"arn:aws:iam::" + ours + ":role/svc/deploy",
		"arn:aws:iam::" + theirs + ":role/app",
	}
	tags := []string{"aws:RequestTag/Team", "aws:TagKeys"}
	return []target{
		{"bedrock:InvokeModel", append(models, profiles...), invoke},
		{"bedrock:InvokeModelWithResponseStream", append(models, profiles...), invoke},
		{"bedrock:GetFoundationModel", models, nil},
		{"bedrock:ListFoundationModels", []string{"*"}, nil},
		{"bedrock:ListCustomModels", []string{"*"}, nil},
		{"bedrock:ApplyGuardrail", guardrails, nil},
		{"bedrock:GetGuardrail", guardrails, nil},
		{"bedrock:DeleteGuardrail", guardrails, nil},
		{"bedrock:TagResource", guardrails, tags},
		{"bedrock:CallWithBearerToken", []string{"*"}, []string{"bedrock:BearerTokenType"}},
		{"iam:GetUser", users, nil},
		{"iam:CreateUser", users, tags},
		{"iam:CreateAccessKey", users, nil},
		{"iam:ListUsers", []string{"*"}, nil},
		{"iam:PassRole", roles, []string{"iam:PassedToService"}},
		{"iam:AttachRolePolicy", roles, []string{"iam:PolicyARN"}},
		{"sts:AssumeRole", roles, []string{"sts:ExternalId", "sts:RoleSessionName", "sts:TransitiveTagKeys"}},
		{"sts:GetSessionToken", []string{"*"}, nil},
	}
}

// Principals are those that the maker knows. The first four are users, the root
// and sessions; behind them stand the kinds that not every judge knows.
func Principals() []policy.Principal {
	return []policy.Principal{
		{ARN: "arn:aws:iam::" + ours + ":user/ann", Account: ours, UserID: "AIDAANNANNANNANNANNAN"},
		{ARN: "arn:aws:iam::" + theirs + ":user/eng/bob", Account: theirs, UserID: "AIDABOBBOBBOBBOBBOBBO"},
		{
			ARN: "arn:aws:sts::" + ours + ":assumed-role/app/s1", Account: ours,
			RoleARN: "arn:aws:iam::" + ours + ":role/app", UserID: "AROAAPPAPPAPPAPPAPPAP:s1",
		},
		{
			ARN: "arn:aws:sts::" + ours + ":assumed-role/deploy/ci", Account: ours,
			RoleARN: "arn:aws:iam::" + ours + ":role/svc/deploy", UserID: "AROADEPLOYDEPLOYDEPLO:ci",
		},
		{ARN: "arn:aws:iam::" + ours + ":root", Account: ours, UserID: ours},
		{Service: "bedrock.amazonaws.com"},
		{Federated: "arn:aws:iam::" + ours + ":oidc-provider/id.example.com"},
		{Anonymous: true},
	}
}

// form is what the values of a key look like.
type form uint8

const (
	textForm form = iota
	arnForm
	numberForm
	dateForm
	epochForm
	boolForm
	addressForm
	binaryForm
)

// keyFact is a condition key with values that a request may have.
type keyFact struct {
	name    string
	form    form
	several bool
	values  []string
}

// commonKeys are the keys that any action may have.
func commonKeys() []keyFact {
	return []keyFact{
		{"aws:PrincipalArn", arnForm, false, []string{"arn:aws:iam::" + ours + ":user/ann", "arn:aws:iam::" + ours + ":role/app"}},
		{"aws:PrincipalAccount", textForm, false, []string{ours, theirs}},
		{"aws:PrincipalTag/Team", textForm, false, []string{"red", "blue", "Red"}},
		{"aws:PrincipalTag/cost center", textForm, false, []string{"42", "a*c"}},
		{"aws:ResourceTag/Team", textForm, false, []string{"red", "blue", "RED"}},
		{"aws:username", textForm, false, []string{"ann", "bob"}},
		{"aws:userid", textForm, false, []string{"AIDAANNANNANNANNANNAN", "AROAAPPAPPAPPAPPAPPAP:s1"}},
		{"aws:SourceVpce", textForm, false, []string{"vpce-1a2b", "vpce-red"}},
		{"aws:RequestedRegion", textForm, false, []string{"us-east-1", "eu-west-1"}},
		{"aws:UserAgent", textForm, false, []string{"aws-cli/2", "Boto3/1.42 [é]"}},
		{"aws:SourceIp", addressForm, false, []string{"203.0.113.9", "10.1.2.3", "2001:db8::7", "192.0.2.255"}},
		{"aws:SourceArn", arnForm, false, []string{"arn:aws:s3:::red-bucket", "arn:aws:bedrock:us-east-1:" + ours + ":guardrail/red"}},
		{"aws:SecureTransport", boolForm, false, []string{"true", "false"}},
		{"aws:MultiFactorAuthPresent", boolForm, false, []string{"true", "false"}},
		{"aws:MultiFactorAuthAge", numberForm, false, []string{"0", "59", "300", "3600"}},
		{"aws:CurrentTime", dateForm, false, []string{"2026-03-01T12:00:00Z", "2025-12-31T23:59:59Z"}},
		{"aws:TokenIssueTime", dateForm, false, []string{"2026-03-01T11:00:00Z", "2026-02-28T00:00:00Z"}},
		{"aws:EpochTime", epochForm, false, []string{"1772366400", "1767225599"}},
		{"aws:CalledVia", textForm, true, []string{"athena.amazonaws.com", "bedrock.amazonaws.com"}},
		{"aws:PrincipalOrgPaths", textForm, true, []string{"o-abc/r-1/ou-red/", "o-abc/r-1/ou-blue/"}},
	}
}

// actionKeys are the keys that some actions have.
func actionKeys() []keyFact {
	return []keyFact{
		{"bedrock:GuardrailIdentifier", arnForm, false, []string{
			"arn:aws:bedrock:us-east-1:" + ours + ":guardrail/abc123:1", "arn:aws:bedrock:us-east-1:" + ours + ":guardrail/red",
		}},
		{"bedrock:InferenceProfileArn", arnForm, false, []string{"arn:aws:bedrock:us-east-1:" + ours + ":inference-profile/us.anthropic.claude-v2"}},
		{"bedrock:PromptRouterArn", arnForm, false, []string{"arn:aws:bedrock:us-east-1:" + ours + ":prompt-router/red"}},
		{"bedrock:ServiceTier", textForm, false, []string{"default", "priority"}},
		{"bedrock:BearerTokenType", textForm, false, []string{"SHORT_TERM", "LONG_TERM"}},
		{"iam:PassedToService", textForm, false, []string{"bedrock.amazonaws.com", "lambda.amazonaws.com"}},
		{"iam:PolicyARN", arnForm, false, []string{"arn:aws:iam::aws:policy/AmazonBedrockReadOnly"}},
		{"sts:ExternalId", binaryForm, false, []string{"QUJD", "cmVk", "secret"}},
		{"sts:RoleSessionName", textForm, false, []string{"ann", "ci", "red"}},
		{"sts:TransitiveTagKeys", textForm, true, []string{"Team", "Stage"}},
		{"aws:RequestTag/Team", textForm, false, []string{"red", "blue"}},
		{"aws:TagKeys", textForm, true, []string{"Team", "Stage", "cost center"}},
	}
}
