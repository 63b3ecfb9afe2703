package session

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"
)

// maxUnpacked bounds what one packed part may hold, in bytes.
const maxUnpacked = 256 << 10

// dictionary is what sessions have in common: packed parts refer to it. It is part
// of the token's version: another one needs another version.
const dictionary = `Service FederatedUser Account User arn:aws:iam::aws:policy/AmazonBedrock arn:aws:s3:::` +
	`"Condition":{"StringEquals":{"aws:ResourceTag/aws:PrincipalTag/aws:RequestTag/Department Project Team Environment CostCenter` +
	`{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Deny","Effect":"Allow","Action":["bedrock:*","bedrock:List*","bedrock:Get*",` +
	`"bedrock:InvokeModelWithResponseStream","bedrock:InvokeModel"],"Resource":"*"}]}"Resource":["arn:aws:bedrock:*::foundation-model/*"]` +
	`anthropic.claude-amazon.nova-:inference-profile/us.us-east-1:AssumedRole arn:aws:sts:::assumed-role/arn:aws:iam::role/AROA`

// packer compresses. Its writers take much memory, so they are kept for the next
// session. The zero value is ready; it is safe for concurrent use.
type packer struct{ writers sync.Pool }

func (p *packer) pack(b []byte) ([]byte, error) {
	w, ok := p.writers.Get().(*flate.Writer)
	if !ok {
		var err error
		if w, err = flate.NewWriterDict(nil, flate.DefaultCompression, []byte(dictionary)); err != nil {
			return nil, err
		}
	}
	defer p.writers.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// unpack undoes pack.
func unpack(b []byte) ([]byte, error) {
	r := flate.NewReaderDict(bytes.NewReader(b), []byte(dictionary))
	out, err := io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("session: unpack: %w", err)
	}
	if len(out) > maxUnpacked {
		return nil, errForm
	}
	return out, nil
}
