package policytest

import (
	"strings"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// writer writes one policy.
type writer struct {
	*Maker
	kind policy.Kind
	old  bool // the version knows no variables
}

func (w writer) statement() map[string]any {
	s := map[string]any{"Effect": "Allow"}
	if w.chance(35) {
		s["Effect"] = "Deny"
	}
	not := ""
	if w.kind != policy.Trust && w.chance(15) {
		not = "Not"
	}
	s[not+"Action"] = w.some(w.action)
	if w.kind != policy.Trust {
		not = ""
		if w.chance(15) {
			not = "Not"
		}
		s[not+"Resource"] = w.some(func() string { return w.resource(not != "") })
	}
	if w.kind == policy.Resource || w.kind == policy.Trust || w.kind == policy.Endpoint {
		name := "Principal"
		if w.kind != policy.Trust && s["Effect"] == "Deny" && w.scope == Everything && w.chance(40) {
			name = "NotPrincipal"
		}
		s[name] = w.principals()
	}
	if conditions := w.conditions(); len(conditions) > 0 {
		s["Condition"] = conditions
	}
	return s
}

// some makes one value, or a list.
func (w writer) some(one func() string) any {
	n := 1 + w.r.IntN(3)
	if n == 1 && w.chance(70) {
		return one()
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, one())
	}
	return list
}

func (w writer) action() string {
	a := pick(w.Maker, w.topic).action
	if w.chance(10) {
		a = pick(w.Maker, w.targets).action
	}
	if w.kind == policy.Trust {
		a = pick(w.Maker, []string{"sts:AssumeRole", "sts:TagSession", "sts:AssumeRoleWithWebIdentity"})
	}
	service, _, _ := strings.Cut(a, ":")
	switch w.r.IntN(8) {
	case 0:
		return w.recase(a)
	case 1:
		return service + ":*"
	case 2:
		if w.kind == policy.Trust {
			return "sts:*"
		}
		return "*"
	case 3, 4:
		return w.blur(a, len(service)+1)
	}
	return a
}

func (w writer) resource(inverted bool) string {
	r := pick(w.Maker, pick(w.Maker, w.topic).resources)
	if w.chance(10) {
		r = pick(w.Maker, pick(w.Maker, w.targets).resources)
	}
	if r == "*" || w.chance(15) {
		return "*"
	}
	parts := strings.SplitN(r, ":", 6)
	if w.chance(20) {
		parts[3] = w.blur(parts[3]+"*", 0)
	}
	if w.chance(20) {
		parts[4] = w.blur(parts[4]+"*", 0)
	}
	kind, id, _ := strings.Cut(parts[5], "/")
	switch w.r.IntN(10) {
	case 0, 1, 2:
		id = w.blur(id, 0)
	case 3:
		id = "*"
	case 4, 5:
		if v := w.variable(inverted); v != "" {
			id = pick(w.Maker, []string{v, v + "*", "*" + v, strings.ReplaceAll(id, "red", v), strings.ReplaceAll(id, "ann", v)})
		}
	case 6:
		if w.scope == Everything {
			kind = w.blur(kind, 0)
		}
	case 7:
		incomplete := w.kind == policy.Identity || w.kind == policy.Boundary
		if incomplete && (w.scope == Everything || !inverted) {
			return strings.Join(parts[:3+w.r.IntN(3)], ":")
		}
	}
	parts[5] = kind + "/" + id
	return strings.Join(parts, ":")
}

// variable makes a policy variable or an escape, which are ordinary text in an old
// version, and "" where a judge takes them for variables there. Where it is
// inverted, a judged one always has a value.
func (w writer) variable(inverted bool) string {
	if w.old && w.scope == Judged {
		return ""
	}
	if w.chance(10) {
		return pick(w.Maker, []string{"${*}", "${?}", "${$}"})
	}
	v := "${" + w.recase(pick(w.Maker, []string{
		"aws:username", "aws:PrincipalTag/Team", "aws:userid", "aws:PrincipalAccount", "aws:ResourceTag/Team",
		"aws:PrincipalTag/cost center", "aws:CalledVia",
	}))
	if w.chance(30) || inverted && w.scope == Judged {
		v += ", '" + pick(w.Maker, []string{"red", "ann", "a*c"}) + "'"
	}
	return v + "}"
}

func (w writer) principals() any {
	if w.chance(10) || w.kind == policy.Endpoint && w.scope == Judged {
		return "*"
	}
	p := map[string]any{}
	aws := func() string {
		switch one := pick(w.Maker, Principals()[:5]); w.r.IntN(6) {
		case 0:
			return one.Account
		case 1:
			return "arn:aws:iam::" + one.Account + ":root"
		case 2:
			if w.scope == Everything {
				id, _, _ := strings.Cut(one.UserID, ":")
				return id
			}
			return one.ARN
		case 3:
			if one.RoleARN != "" {
				return one.RoleARN
			}
			return one.ARN
		case 4:
			if w.chance(20) {
				return "*"
			}
			return one.ARN
		default:
			return one.ARN
		}
	}
	if w.chance(85) {
		p["AWS"] = w.some(aws)
	}
	if len(p) == 0 || w.chance(20) {
		p["Service"] = w.some(func() string {
			return pick(w.Maker, []string{"bedrock.amazonaws.com", "lambda.amazonaws.com"})
		})
	}
	if w.chance(15) && w.scope == Everything {
		p["Federated"] = pick(w.Maker, []string{"arn:aws:iam::" + ours + ":oidc-provider/id.example.com", "accounts.google.com"})
	}
	return p
}

// conditions makes the element Condition.
func (w writer) conditions() map[string]any {
	all := map[string]any{}
	for range pick(w.Maker, []int{0, 0, 0, 0, 1, 1, 1, 1, 2, 3}) {
		k := pick(w.Maker, w.common)
		if w.chance(50) {
			own := pick(w.Maker, w.topic).keys
			for _, special := range w.special {
				if len(own) > 0 && special.name == own[0] || w.chance(3) {
					k = special
				}
			}
		}
		name, values := w.operator(k)
		keys, _ := all[name].(map[string]any)
		if keys == nil {
			keys = map[string]any{}
		}
		key := k.name
		if w.chance(20) {
			key = strings.ToLower(key)
		}
		for other := range keys {
			if strings.EqualFold(other, key) {
				key = other
			}
		}
		keys[key] = values
		all[name] = keys
	}
	return all
}

// operator makes an operator for a key, and values for it.
func (w writer) operator(k keyFact) (string, any) {
	if w.chance(8) {
		return "Null", pick(w.Maker, []any{"true", "false", true, []string{"false"}})
	}
	f := k.form
	if w.chance(20) && w.scope == Everything {
		f = form(w.r.IntN(int(binaryForm) + 1))
	}
	if w.chance(25) {
		f = textForm // texts compare with everything
	}
	base := pick(w.Maker, operators(f))
	set := ""
	if k.several && w.chance(80) || w.chance(5) {
		set = pick(w.Maker, []string{"ForAnyValue:", "ForAllValues:"})
	}
	name := set + base
	if w.chance(20) && (set != "ForAnyValue:" || w.scope == Everything) {
		name += "IfExists"
	}
	inverted := strings.Contains(base, "Not")
	return name, w.some(func() string { return w.value(k, f, base, inverted) })
}

// operators are the operators for values of a form.
func operators(f form) []string {
	ordered := func(prefix string) []string {
		var all []string
		for _, o := range []string{"Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"} {
			all = append(all, prefix+o)
		}
		return all
	}
	switch f {
	case arnForm:
		return []string{"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"}
	case numberForm:
		return ordered("Numeric")
	case dateForm, epochForm:
		return ordered("Date")
	case boolForm:
		return []string{"Bool"}
	case addressForm:
		return []string{"IpAddress", "NotIpAddress"}
	case binaryForm:
		return []string{"BinaryEquals"}
	default:
		return []string{
			"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		}
	}
}

// value makes a value of the policy for an operator.
func (w writer) value(k keyFact, f form, base string, inverted bool) string {
	own := pick(w.Maker, k.values)
	switch f {
	case arnForm:
		return w.arnValue(k, inverted)
	case numberForm:
		if w.scope == Everything && w.chance(20) {
			return pick(w.Maker, []string{"3e2", "-1", "300.0", "+59", "0.5e1"})
		}
		return pick(w.Maker, []string{"0", "59", "60", "300", "299.5", "3600"})
	case dateForm:
		if w.scope == Everything && w.chance(40) {
			return pick(w.Maker, []string{"2026", "2026-03", "2026-03-01", "2026-03-01T12:00", "1772366400", "2026-03-01T13:30:00.500+01:30"})
		}
		return pick(w.Maker, []string{
			"2026-03-01T12:00:00Z", "2026-03-01T11:00:00Z", "2026-02-28T00:00:00Z", "2025-12-31T23:59:59Z", "2026-03-01T13:00:00+01:00",
		})
	case epochForm:
		return pick(w.Maker, []string{"1772366400", "1767225599", "1767225600"})
	case boolForm:
		if !w.old && w.scope == Everything && w.chance(10) {
			return pick(w.Maker, []string{"${aws:SecureTransport}", "${aws:username, 'true'}"})
		}
		return pick(w.Maker, []string{"true", "false", "True"})
	case addressForm:
		if inverted && w.scope == Judged {
			return pick(w.Maker, []string{"203.0.113.0/24", "10.1.2.3/32", "2001:db8::/32", "2001:db8::7/128"})
		}
		if w.scope == Everything && w.chance(10) {
			return pick(w.Maker, []string{"0.0.0.0/0", "::/0"})
		}
		return pick(w.Maker, []string{
			"203.0.113.0/24", "10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "2001:db8::7", "192.0.2.128/25", "10.1.2.3/32",
		})
	case binaryForm:
		return pick(w.Maker, []string{"QUJD", "cmVk", "QUJDRA=="})
	}
	switch w.r.IntN(6) {
	case 0:
		return w.recase(own)
	case 1, 2:
		return w.blur(own, 0)
	case 3:
		if v := w.variable(inverted); v != "" {
			return pick(w.Maker, []string{v, v + "*", "*" + v, v + v, own + v})
		}
	}
	return own
}

// arnValue makes a value for an operator on ARNs.
func (w writer) arnValue(k keyFact, inverted bool) string {
	arn := pick(w.Maker, k.values)
	if k.form != arnForm {
		arn = "arn:aws:iam::" + ours + ":user/ann"
	}
	parts := strings.SplitN(arn, ":", 6)
	at := 1 + w.r.IntN(5)
	switch w.r.IntN(5) {
	case 0, 1:
		parts[at] = w.blur(parts[at]+"*", 0)
	case 2:
		kind, _, _ := strings.Cut(parts[5], "/")
		parts[5] = kind + "/*"
	case 3:
		if v := w.variable(inverted); v != "" {
			if w.scope == Everything && !w.old && w.chance(20) {
				return "${aws:PrincipalArn}"
			}
			parts[5] = strings.NewReplacer("red", v, "ann", v).Replace(parts[5])
		}
	case 4:
		if w.scope == Everything && w.chance(20) {
			return "*"
		}
	}
	return strings.Join(parts, ":")
}
