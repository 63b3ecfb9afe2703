package identity

import (
	"errors"
	"net/http"

	"github.com/outcrop/outcrop/internal/wire/apierr"
)

// The codes of the Organizations API. Every one of them is answered with 400.
const (
	codeOrgAccessDenied      = "AccessDeniedException"
	codeOrgNotInUse          = "AWSOrganizationsNotInUseException"
	codeOrgAlready           = "AlreadyInOrganizationException"
	codeOrgConcurrent        = "ConcurrentModificationException"
	codeOrgConstraint        = "ConstraintViolationException"
	codeOrgInvalidInput      = "InvalidInputException"
	codeOrgMalformed         = "MalformedPolicyDocumentException"
	codeOrgNoAccount         = "AccountNotFoundException"
	codeOrgAlreadyClosed     = "AccountAlreadyClosedException"
	codeOrgDuplicateAccount  = "DuplicateAccountException"
	codeOrgNoParent          = "ParentNotFoundException"
	codeOrgNoSource          = "SourceParentNotFoundException"
	codeOrgNoDestination     = "DestinationParentNotFoundException"
	codeOrgNoUnit            = "OrganizationalUnitNotFoundException"
	codeOrgUnitNotEmpty      = "OrganizationalUnitNotEmptyException"
	codeOrgDuplicateUnit     = "DuplicateOrganizationalUnitException"
	codeOrgNoPolicy          = "PolicyNotFoundException"
	codeOrgDuplicatePolicy   = "DuplicatePolicyException"
	codeOrgPolicyInUse       = "PolicyInUseException"
	codeOrgDuplicateAttached = "DuplicatePolicyAttachmentException"
	codeOrgNotAttached       = "PolicyNotAttachedException"
	codeOrgTypeNotEnabled    = "PolicyTypeNotEnabledException"
	codeOrgTypeEnabled       = "PolicyTypeAlreadyEnabledException"
	codeOrgNoRoot            = "RootNotFoundException"
	codeOrgNoTarget          = "TargetNotFoundException"
	codeOrgNoChild           = "ChildNotFoundException"
	codeOrgNoRequest         = "CreateAccountStatusNotFoundException"
)

// orgError makes an error of the Organizations API.
func orgError(code, format string, args ...any) *apierr.Error {
	return apierr.New(code, http.StatusBadRequest, format, args...)
}

// orgReason is orgError for the errors that have a reason beside their message:
// ConstraintViolationException and InvalidInputException.
func orgReason(code, reason, format string, args ...any) *apierr.Error {
	e := orgError(code, format, args...)
	e.Fields = map[string]string{"Reason": reason}
	return e
}

// orgFailure turns what the directory shares with IAM into words of the
// Organizations API.
func orgFailure(err error) error {
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok {
		return err
	}
	switch e.Code {
	case codeConcurrent:
		return orgError(codeOrgConcurrent, "The target of the operation is currently being modified by a different request. Try again later.")
	case codeInvalidInput:
		return orgError(codeOrgInvalidInput, "%s", e.Message)
	case codeLimit:
		return orgReason(codeOrgConstraint, "MAX_TAG_LIMIT_EXCEEDED", "%s", e.Message)
	}
	return err
}
