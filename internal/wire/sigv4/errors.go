package sigv4

import (
	"net/http"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// MissingToken is MissingAuthenticationTokenException, 403: no credentials.
func MissingToken() *apierr.Error {
	return apierr.New(apierr.CodeMissingAuth, http.StatusForbidden, "Missing Authentication Token")
}

// Unrecognized is UnrecognizedClientException, 403: the key is unknown or may
// not be used. The two are not told apart.
func Unrecognized() *apierr.Error {
	return apierr.New(apierr.CodeUnrecognizedClient, http.StatusForbidden, "The security token included in the request is invalid.")
}

// Expired is ExpiredTokenException, 403: temporary credentials past their end.
func Expired() *apierr.Error {
	return apierr.New(apierr.CodeExpiredToken, http.StatusForbidden, "The security token included in the request is expired")
}

// Mismatch is InvalidSignatureException, 403: the signature is not the one that
// the secret gives for this request.
func Mismatch() *apierr.Error {
	return invalid("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

func incomplete(format string, args ...any) *apierr.Error {
	return apierr.New(apierr.CodeIncompleteSignature, http.StatusBadRequest, format, args...)
}

func invalid(format string, args ...any) *apierr.Error {
	return apierr.New(apierr.CodeInvalidSignature, http.StatusForbidden, format, args...)
}
