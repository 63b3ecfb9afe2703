package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"strings"
	"testing"
)

// tinyPackage is a package of npm with the tables of one prefix. change edits
// its files before they are packed.
func tinyPackage(t *testing.T, change map[string]string) []byte {
	t.Helper()
	files := map[string]string{
		"dist/esm/globalConditionKeys.js": `export const globalConditionKeys = [
    {
        key: 'aws:PrincipalTag/tag-key',
        category: 'principal',
        type: 'String',
        description: ''
    },
    {
        key: 'aws:CurrentTime',
        category: 'request',
        type: 'Date', //Can Also be Numeric...
        description: ''
    }];`,
		"data/actions/pit.json": `{
			"tag":{"name":"Tag","description":"Words","accessLevel":"Tagging, Write","resourceTypes":[
				{"name":"hole","required":true,"conditionKeys":["pit:Depth"],"dependentActions":[]},
				{"name":"Cave","required":false,"conditionKeys":[],"dependentActions":[]}],
				"conditionKeys":["aws:TagKeys"],"dependentActions":[]},
			"dig":{"name":"Dig","description":"Words","isPermissionOnly":true,"accessLevel":"Write","resourceTypes":[],"conditionKeys":[],"dependentActions":[]}}`,
		"data/resourceTypes/pit.json": `{"hole":{"key":"hole","arn":"arn:${Partition}:pit:::hole/${Id}","conditionKeys":["pit:Depth"]},"cave":{"key":"Cave","arn":"arn:${Partition}:pit:::cave"}}`,
		"data/conditionKeys/pit.json": `{"pit:depth":{"key":"pit:Depth","description":"Words","type":"Numeric"}}`,
		"README.md":                   "Words",
	}
	maps.Copy(files, change)
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for name, text := range files {
		if err := tw.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAuthorizationFiles(t *testing.T) {
	t.Parallel()
	tgz := tinyPackage(t, nil)
	sum := sha256.Sum256(tgz)
	files, err := authorizationFiles(pin{"1.2.3", hex.EncodeToString(sum[:])}, tgz, []string{"pit"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		authPin: iamData + " 1.2.3 sha256:" + hex.EncodeToString(sum[:]) + "\n",
		authDir + "pit.json": `{"prefix":"pit",
"actions":[
{"name":"Dig","access":"Write"},
{"name":"Tag","access":"Tagging","resources":["Cave","hole"],"keys":["aws:TagKeys","pit:Depth"]}
],
"resources":[
{"name":"Cave","arn":"arn:${Partition}:pit:::cave"},
{"name":"hole","arn":"arn:${Partition}:pit:::hole/${Id}","keys":["pit:Depth"]}
],
"keys":[
{"name":"pit:Depth","type":"Numeric"}
]}
`,
		authDir + "aws.json": `{"prefix":"aws",
"keys":[
{"name":"aws:CurrentTime","type":"Date"},
{"name":"aws:PrincipalTag/${TagKey}","type":"String"}
]}
`,
	} {
		if got := string(files[name]); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
	if len(files) != 4 || len(files[authDir+"NOTICE"]) == 0 {
		t.Errorf("%d files", len(files))
	}
	if again, err := authorizationFiles(pin{version: "1.2.3"}, tgz, []string{"pit"}); err != nil || !maps.EqualFunc(files, again, bytes.Equal) {
		t.Errorf("without a digest the files differ (%v)", err)
	}
}

func TestAuthorizationFilesRefuse(t *testing.T) {
	t.Parallel()
	const actions = "data/actions/pit.json"
	whole := func(name, extra string) string {
		return `{"x":{"name":"X","accessLevel":"` + name + `","resourceTypes":[],"conditionKeys":[]` + extra + `}}`
	}
	for name, c := range map[string]struct {
		change map[string]string
		prefix string
		want   string
	}{
		"unknown_prefix":    {nil, "cave", "data/"},
		"unknown_level":     {map[string]string{actions: whole("Dance", "")}, "pit", "unknown level"},
		"unknown_fact":      {map[string]string{actions: whole("Read", `,"moon":1`)}, "pit", "unknown field"},
		"dependent_actions": {map[string]string{actions: whole("Read", `,"dependentActions":["iam:PassRole"]`)}, "pit", "new kind of fact"},
		"unknown_type":      {map[string]string{"data/resourceTypes/pit.json": "{}"}, "pit", "unknown resource type"},
		"no_global_keys":    {map[string]string{"dist/esm/globalConditionKeys.js": ""}, "pit", "has 0 keys"},
		"unread_global_key": {map[string]string{"dist/esm/globalConditionKeys.js": "{ key: 'aws:X' }"}, "pit", "0 are understood"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := authorizationFiles(pin{version: "1"}, tinyPackage(t, c.change), []string{c.prefix})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want %q in it", err, c.want)
			}
		})
	}
	if _, err := authorizationFiles(pin{"1", "00"}, tinyPackage(t, nil), nil); err == nil || !strings.Contains(err.Error(), "want 00") {
		t.Errorf("another digest: %v", err)
	}
	if _, err := authorizationFiles(pin{version: "1"}, []byte("no gzip"), nil); err == nil {
		t.Error("what is no package is accepted")
	}
}

// The committed facts are in the form that the command writes.
func TestAuthorizationIsCanonical(t *testing.T) {
	t.Parallel()
	root := os.DirFS(repoRoot(t))
	prefixes, err := authPrefixes(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, prefix := range append(prefixes, globalPrefix) {
		f, err := readAuthorization(root, prefix)
		if err != nil {
			t.Error(err)
			continue
		}
		f.sort()
		again, err := f.encode()
		data, _ := os.ReadFile(repoRoot(t) + "/" + authDir + prefix + ".json")
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: not in canonical form (%v)", prefix, err)
		}
	}
}
