package identity

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// The codes of IAM's errors as the query protocol shows them.
const (
	codeNoSuchEntity   = "NoSuchEntity"
	codeExists         = "EntityAlreadyExists"
	codeLimit          = "LimitExceeded"
	codeMalformed      = "MalformedPolicyDocument"
	codeInvalidInput   = "InvalidInput"
	codeDeleteConflict = "DeleteConflict"
	codeUnmodifiable   = "UnmodifiableEntity"
	codeNotAttachable  = "PolicyNotAttachable"
	codeConcurrent     = "ConcurrentModification"
	codeValidation     = "ValidationError"
)

// apiError makes an error of IAM with the status that belongs to its code.
func apiError(code, format string, args ...any) *apierr.Error {
	status := http.StatusBadRequest
	switch code {
	case codeNoSuchEntity:
		status = http.StatusNotFound
	case codeExists, codeLimit, codeDeleteConflict, codeConcurrent:
		status = http.StatusConflict
	}
	return apierr.New(code, status, format, args...)
}
