// Package ipmi reads the power of a node from its BMC: DCMI Get Power Reading
// over IPMI 2.0 (LAN+), as ipmitool does with "dcmi power reading".
//
// Sources: IPMI 2.0 revision 1.1 (§13 sessions, §37 time stamps) and DCMI 1.5
// §6.6.1. Only the current power of the BMC is used, never its average. It is in
// whole watts and is the input of the supplies, so its boundary is the node.
//
// The BMC's timestamp distinguishes a new reading from a repeated one: the same
// power with the same timestamp is not new, and is stale after a minute. A BMC
// whose clock was never set has no timestamp. Then a repetition cannot be
// distinguished from a constant load, every answer counts as a reading, and only
// power of 1 kW or more, of which a watt is a thousandth, is stale if it never
// changes. Some BMCs stamp the answer instead of the measurement, so that
// repeated values look new.
package ipmi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/bougou/go-ipmi/pkg/command/dcmi"
	"github.com/bougou/go-ipmi/pkg/types"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are the options of its specification.
var Options = append(append([]endpoint.Option{
	{Key: "cipher", Help: "cipher suite: 17 (SHA-256), or 3 (SHA-1) for older BMCs (17)"},
	{Key: "privilege", Help: "privilege level of the session: user, operator or administrator (user)"},
}, power.Common...), endpoint.Login...)

// idle is how long a session is assumed to exist without traffic: a BMC ends it
// after 60 s ± 3 s (IPMI 2.0 §6.12.15).
const idle = 45 * time.Second

// device is a BMC and the session with it, if any.
type device struct {
	address string
	who     account
	now     func() time.Time
	session *session
	used    time.Time                         // when the session was last used
	last    *dcmi.GetDCMIPowerReadingResponse // the last answer
}

// Open logs in to the BMC at the target, HOST or HOST:PORT (UDP, 623), and reads it
// once. A BMC that cannot be reached, refuses the login or has no power reading is
// an error that names the remedy.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	d, err := prepare(s)
	if err != nil {
		return nil, fmt.Errorf("ipmi: %w", err)
	}
	about := power.Info{
		Source: d.address,
		// DCMI does not state how often it measures. Its reporting period is the span of
		// its statistics, on some BMCs all the time since power-on.
		Period: time.Second,
		Channels: []results.Channel{{
			Name: "node", Unit: results.Watt, Kind: results.Gauge, Boundary: results.Chassis, Total: results.Chassis, Origin: results.Measured,
			Accuracy: results.Accuracy{Gain: results.Absent(), Resolution: 1, Source: "DCMI gives whole watts and states no accuracy"},
		}},
	}
	bounds := []power.Bound{{}}
	probe, err := s.Poller(about, bounds, d.ask, nil)
	if err != nil {
		return nil, fmt.Errorf("ipmi: %w", err)
	}
	got, err := probe.Read(ctx)
	if err == nil {
		err = got[0].Err
	}
	if err != nil {
		_ = d.close()
		return nil, err
	}
	about.Notes = notes(d.who.suite, d.last)
	return s.Poller(about, bounds, d.ask, d.close)
}

// prepare reads the options of this kind.
func prepare(s power.Spec) (*device, error) {
	d := &device{now: s.Now}
	if d.now == nil {
		d.now = time.Now
	}
	var err error
	if d.address, err = s.Address("623"); err != nil {
		return nil, err
	}
	// IPMI 2.0 §22.28, §22.30: 16 and 20 bytes; longer ones would be truncated.
	if d.who.user = s.Get("user", ""); len(d.who.user) > 16 {
		return nil, fmt.Errorf("%w: user: a BMC takes no name longer than 16 bytes", endpoint.ErrSpec)
	}
	if d.who.password, err = s.Secret("password"); err != nil {
		return nil, err
	}
	if len(d.who.password) > 20 {
		return nil, fmt.Errorf("%w: password: a BMC takes none longer than 20 bytes", endpoint.ErrSpec)
	}
	cipher, err := s.Choice("cipher", "17", "3", "17")
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(cipher)
	d.who.suite = types.CipherSuiteID(n) // #nosec G115 -- 3 or 17: see Choice above
	privilege, err := s.Choice("privilege", "user", "user", "operator", "administrator")
	d.who.privilege = map[string]types.PrivilegeLevel{"user": types.PrivilegeLevelUser, "operator": types.PrivilegeLevelOperator, "administrator": types.PrivilegeLevelAdministrator}[privilege]
	return d, err
}

// notes are those of a BMC for the record.
func notes(suite types.CipherSuiteID, r *dcmi.GetDCMIPowerReadingResponse) []string {
	out := []string{fmt.Sprintf("DCMI Get Power Reading over IPMI 2.0, cipher suite %d: its current power, over a time that DCMI does not say", suite)}
	if window := time.Duration(r.ReportingPeriod) * time.Millisecond; window > 0 {
		out = append(out, fmt.Sprintf("its minimum, maximum and average are of %v and not used", window))
	}
	if stamp(r.Timestamp).IsZero() {
		out = append(out, "its clock is not set: a repeated reading cannot be told from a load that stands still")
	}
	return out
}

// ask implements [power.Query]. Without a live session it logs in first, which
// the slack of that reading then includes.
func (d *device) ask(ctx context.Context) ([]power.Quantity, error) {
	if d.now().Sub(d.used) > idle {
		d.drop()
	}
	if d.session == nil {
		var err error
		if d.session, err = login(ctx, d.address, d.who); err != nil {
			return nil, err
		}
	}
	r := new(dcmi.GetDCMIPowerReadingResponse)
	err := d.session.command(ctx, &dcmi.GetDCMIPowerReadingRequest{}, r)
	var code types.CompletionCode
	switch {
	case err == nil:
	case errors.As(err, &code):
		err = unavailable(code)
	case errors.Is(err, types.ErrUnpackedDataTooShort) || errors.Is(err, types.ErrDCMIGroupExtensionIDMismatch):
		err = fmt.Errorf("not the answer that DCMI defines: %w", err)
	default:
		// A BMC does not answer for a session that it has dropped.
		d.drop()
		return nil, err
	}
	d.used = d.now()
	if err != nil {
		return []power.Quantity{{Err: err}}, nil
	}
	d.last = r
	return []power.Quantity{quantity(r)}, nil
}

// drop discards the session, and tells the BMC once without waiting.
func (d *device) drop() {
	if d.session != nil {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		d.session.end(over)
		d.session = nil
	}
}

// close ends the session.
func (d *device) close() error {
	if d.session != nil {
		ctx, cancel := context.WithTimeout(context.Background(), resend)
		defer cancel()
		d.session.end(ctx)
		d.session = nil
	}
	return nil
}

// quantity returns the current power of an answer, in W.
func quantity(r *dcmi.GetDCMIPowerReadingResponse) power.Quantity {
	q := power.Quantity{Value: float64(r.CurrentPower), Taken: stamp(r.Timestamp)}
	switch {
	case !r.PowerMeasurementActive:
		q.Err = errors.New("its power measurement is not active (DCMI power reading state): turn it on in the BMC, or use another meter")
	case r.CurrentPower == 0:
		q.Err = errors.New("it says 0 W: none of its supplies tells it anything; use another meter")
	}
	return q
}

// stamp is a time on the BMC's clock, or zero if the clock was never set: the
// unspecified time, or seconds since the BMC started (IPMI 2.0 §37).
func stamp(seconds uint32) time.Time {
	if seconds == 0xffffffff || seconds <= 0x20000000 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// unavailable is the error of a BMC without a reading, with the remedy.
func unavailable(code types.CompletionCode) error {
	cure := "ask again"
	switch code {
	case types.CodeInvalidCommand, types.CodeInvalidCommandForLUN, types.CodeRequestDataFieldInvalid, types.CodeParameterOutOfRange,
		types.CodeRequestedDataNotPresent, types.CodeRequestDataLengthInvalid, types.CodeIllegalCommand, types.CodeSubFnDisabled:
		cure = "this BMC has no DCMI power reading: try redfish:, or a meter outside the node"
	case types.CodeInsufficientPrivilege:
		cure = "give privilege=operator or privilege=administrator, and a user that has it"
	case types.CodeNotSupported:
		cure = "it has no power reading in its present state: see that the node is on"
	}
	return fmt.Errorf("DCMI power reading: completion code 0x%02x (%v): %s", uint8(code), code.String(), cure)
}
