package iam

import (
	"bytes"
	"context"
	"encoding/base32"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/service"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

const (
	qrPixels = 300 // about how wide a QR code is
	qrQuiet  = 4   // modules of white around it, as ISO 18004 asks
)

func (s *Service) mfaRoutes() []service.Route {
	return []service.Route{
		service.BindResource(api.OpCreateVirtualMFADevice, on(func(c *call.Call, in *api.CreateVirtualMFADeviceInput) string {
			resource := arnOf(c, "mfa", in.Path, in.VirtualMFADeviceName)
			tagNew(c, in.Tags, "iam:TagMFADevice", resource)
			return resource
		}), s.createVirtualMFADevice),
		service.BindResource(api.OpDeleteVirtualMFADevice, on(func(c *call.Call, in *api.DeleteVirtualMFADeviceInput) string {
			return s.deviceARN(c, in.SerialNumber)
		}), s.deleteVirtualMFADevice),
		service.BindResource(api.OpEnableMFADevice, on(func(c *call.Call, in *api.EnableMFADeviceInput) string {
			return s.userARN(c, in.UserName)
		}), s.enableMFADevice),
		service.BindResource(api.OpResyncMFADevice, on(func(c *call.Call, in *api.ResyncMFADeviceInput) string {
			return s.userARN(c, in.UserName)
		}), s.resyncMFADevice),
		service.BindResource(api.OpDeactivateMFADevice, on(func(c *call.Call, in *api.DeactivateMFADeviceInput) string {
			return s.userARN(c, in.UserName)
		}), s.deactivateMFADevice),
		service.BindResource(api.OpGetMFADevice, on(func(c *call.Call, in *api.GetMFADeviceInput) string {
			return s.userARN(c, in.UserName)
		}), s.getMFADevice),
		service.BindResource(api.OpListMFADevices, on(func(c *call.Call, in *api.ListMFADevicesInput) string {
			return s.userARN(c, in.UserName)
		}), s.listMFADevices),
		service.Bind(api.OpListVirtualMFADevices, s.listVirtualMFADevices),
		service.BindResource(api.OpTagMFADevice, on(func(c *call.Call, in *api.TagMFADeviceInput) string {
			requestTags(c, in.Tags)
			return s.deviceARN(c, in.SerialNumber)
		}), s.tagMFADevice),
		service.BindResource(api.OpUntagMFADevice, on(func(c *call.Call, in *api.UntagMFADeviceInput) string {
			c.SetKey(keyTagKeys, in.TagKeys...)
			return s.deviceARN(c, in.SerialNumber)
		}), s.untagMFADevice),
		service.BindResource(api.OpListMFADeviceTags, on(func(c *call.Call, in *api.ListMFADeviceTagsInput) string {
			return s.deviceARN(c, in.SerialNumber)
		}), s.listMFADeviceTags),
	}
}

// deviceARN is the ARN that a call about a virtual device is decided on: its
// serial number.
func (s *Service) deviceARN(c *call.Call, serial *string) string {
	if m := s.dir.MFADevice(c.Principal.Account, text(serial)); m != nil {
		entityKeys(c, m.Tags, "")
	}
	return text(serial)
}

func noMFADevice(serial string) error {
	return noEntity("MFA Device with serial number %s cannot be found.", serial)
}

// createVirtualMFADevice answers with the seed as text and as a picture that an
// authenticator app reads. Neither can be asked for again.
func (s *Service) createVirtualMFADevice(ctx context.Context, c *call.Call, in *api.CreateVirtualMFADeviceInput) (*api.CreateVirtualMFADeviceOutput, error) {
	m, seed, err := s.dir.CreateMFADevice(ctx, c.Principal.Account, text(in.Path), text(in.VirtualMFADeviceName), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	shown := base32.StdEncoding.EncodeToString(seed)
	picture, err := qrCode(m, shown)
	if err != nil {
		return nil, err
	}
	return &api.CreateVirtualMFADeviceOutput{VirtualMFADevice: &api.VirtualMFADevice{
		SerialNumber: new(m.Serial()), Base32StringSeed: []byte(shown), QRCodePNG: picture, Tags: apiTags(m.Tags),
	}}, nil
}

// qrCode is a PNG of the URI by which authenticator apps take up a seed. Source:
// the format "Key Uri Format" of Google Authenticator, and IAM's documentation of
// QRCodePNG.
func qrCode(m *identity.MFADevice, seed string) ([]byte, error) {
	uri := "otpauth://totp/" + url.PathEscape("Outcrop:"+m.Name+"@"+m.Account) + "?secret=" + seed + "&issuer=Outcrop"
	code, err := qr.Encode(uri, qr.M, qr.Auto)
	if err != nil {
		return nil, fmt.Errorf("draw the QR code of an MFA device: %w", err)
	}
	modules := code.Bounds().Dx()
	scale := (qrPixels + modules - 1) / (modules + 2*qrQuiet)
	side := (modules + 2*qrQuiet) * scale
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range modules * scale {
		for x := range modules * scale {
			if code.At(x/scale, y/scale) == color.Black {
				img.SetColorIndex(x+qrQuiet*scale, y+qrQuiet*scale, 1)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("draw the QR code of an MFA device: %w", err)
	}
	return b.Bytes(), nil
}

func (s *Service) deleteVirtualMFADevice(ctx context.Context, c *call.Call, in *api.DeleteVirtualMFADeviceInput) (*api.DeleteVirtualMFADeviceOutput, error) {
	if err := s.dir.DeleteMFADevice(ctx, c.Principal.Account, text(in.SerialNumber)); err != nil {
		return nil, err
	}
	return &api.DeleteVirtualMFADeviceOutput{}, nil
}

func (s *Service) enableMFADevice(ctx context.Context, c *call.Call, in *api.EnableMFADeviceInput) (*api.EnableMFADeviceOutput, error) {
	err := s.dir.EnableMFADevice(ctx, c.Principal.Account, text(in.UserName), text(in.SerialNumber), text(in.AuthenticationCode1), text(in.AuthenticationCode2))
	if err != nil {
		return nil, err
	}
	return &api.EnableMFADeviceOutput{}, nil
}

func (s *Service) resyncMFADevice(ctx context.Context, c *call.Call, in *api.ResyncMFADeviceInput) (*api.ResyncMFADeviceOutput, error) {
	err := s.dir.ResyncMFADevice(ctx, c.Principal.Account, text(in.UserName), text(in.SerialNumber), text(in.AuthenticationCode1), text(in.AuthenticationCode2))
	if err != nil {
		return nil, err
	}
	return &api.ResyncMFADeviceOutput{}, nil
}

func (s *Service) deactivateMFADevice(ctx context.Context, c *call.Call, in *api.DeactivateMFADeviceInput) (*api.DeactivateMFADeviceOutput, error) {
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	if err := s.dir.DeactivateMFADevice(ctx, c.Principal.Account, name, text(in.SerialNumber)); err != nil {
		return nil, err
	}
	return &api.DeactivateMFADeviceOutput{}, nil
}

func (s *Service) getMFADevice(_ context.Context, c *call.Call, in *api.GetMFADeviceInput) (*api.GetMFADeviceOutput, error) {
	acct, serial := c.Principal.Account, text(in.SerialNumber)
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	m := s.dir.MFADevice(acct, serial)
	if m == nil || !m.Assigned() {
		return nil, noMFADevice(serial)
	}
	u := s.dir.UserByID(acct, m.Owner)
	if u == nil || u.Name != name {
		return nil, noMFADevice(serial)
	}
	return &api.GetMFADeviceOutput{UserName: new(u.Name), SerialNumber: new(serial), EnableDate: new(m.Enabled)}, nil
}

func (s *Service) listMFADevices(_ context.Context, c *call.Call, in *api.ListMFADevicesInput) (*api.ListMFADevicesOutput, error) {
	acct := c.Principal.Account
	name, err := userNamed(c, in.UserName)
	if err != nil {
		return nil, err
	}
	var all []*identity.MFADevice
	if name != "" { // the root of an account has no devices
		u := s.dir.User(acct, name)
		if u == nil {
			return nil, noUser(name)
		}
		all = s.dir.UserMFADevices(acct, u.ID)
	}
	items, marker, truncated, err := cut(all, deviceKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListMFADevicesOutput{
		MFADevices: mapped(items, func(m *identity.MFADevice) api.MFADevice {
			return api.MFADevice{UserName: new(name), SerialNumber: new(m.Serial()), EnableDate: new(m.Enabled)}
		}),
		Marker: marker, IsTruncated: truncated,
	}, nil
}

func (s *Service) listVirtualMFADevices(_ context.Context, c *call.Call, in *api.ListVirtualMFADevicesInput) (*api.ListVirtualMFADevicesOutput, error) {
	acct := c.Principal.Account
	all := kept(s.dir.MFADevices(acct), func(m *identity.MFADevice) bool {
		switch {
		case in.AssignmentStatus == nil:
			return true
		case *in.AssignmentStatus == api.AssignmentStatusTypeAssigned:
			return m.Assigned()
		case *in.AssignmentStatus == api.AssignmentStatusTypeUnassigned:
			return !m.Assigned()
		}
		return true
	})
	items, marker, truncated, err := cut(all, deviceKey, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListVirtualMFADevicesOutput{
		VirtualMFADevices: mapped(items, func(m *identity.MFADevice) api.VirtualMFADevice {
			v := api.VirtualMFADevice{SerialNumber: new(m.Serial())}
			if u := s.dir.UserByID(acct, m.Owner); u != nil {
				v.User, v.EnableDate = new(apiUser(u)), new(m.Enabled)
			}
			return v
		}),
		Marker: marker, IsTruncated: truncated,
	}, nil
}

func (s *Service) tagMFADevice(ctx context.Context, c *call.Call, in *api.TagMFADeviceInput) (*api.TagMFADeviceOutput, error) {
	if err := s.dir.TagMFADevice(ctx, c.Principal.Account, text(in.SerialNumber), tagsOf(in.Tags)); err != nil {
		return nil, err
	}
	return &api.TagMFADeviceOutput{}, nil
}

func (s *Service) untagMFADevice(ctx context.Context, c *call.Call, in *api.UntagMFADeviceInput) (*api.UntagMFADeviceOutput, error) {
	if err := s.dir.UntagMFADevice(ctx, c.Principal.Account, text(in.SerialNumber), in.TagKeys); err != nil {
		return nil, err
	}
	return &api.UntagMFADeviceOutput{}, nil
}

func (s *Service) listMFADeviceTags(_ context.Context, c *call.Call, in *api.ListMFADeviceTagsInput) (*api.ListMFADeviceTagsOutput, error) {
	m := s.dir.MFADevice(c.Principal.Account, text(in.SerialNumber))
	if m == nil {
		return nil, noMFADevice(text(in.SerialNumber))
	}
	items, marker, truncated, err := tagPage(m.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &api.ListMFADeviceTagsOutput{Tags: items, Marker: marker, IsTruncated: truncated}, nil
}

func deviceKey(_ int, m *identity.MFADevice) string { return strings.ToLower(m.Name) }
