package ipmi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/bougou/go-ipmi/pkg/command/app"
	"github.com/bougou/go-ipmi/pkg/crypto"
	"github.com/bougou/go-ipmi/pkg/protocol"
	"github.com/bougou/go-ipmi/pkg/rmcpplus"
	"github.com/bougou/go-ipmi/pkg/types"
)

// resend is the silence after which a request is sent again, because UDP may lose it:
// as long as ipmitool waits on lanplus.
const resend = time.Second

// account holds the credentials and parameters of the login.
type account struct {
	user, password string
	suite          types.CipherSuiteID
	privilege      types.PrivilegeLevel
}

// keys are those with which an RMCP+ session encrypts and signs; empty before it is
// established.
type keys struct {
	integrity types.IntegrityAlg
	k1, k2    []byte
}

// session is an RMCP+ session (IPMI 2.0 §13) on a socket of its own. The messages and
// their cryptography are go-ipmi's. Its client is not used: it accepts unsigned
// answers, and a truncated answer makes it crash the process from its own goroutine.
// Here every answer is verified, nothing runs in the background, and a request ends
// with its context.
type session struct {
	conn     net.Conn
	console  uint32 // ID chosen here
	bmc      uint32 // ID chosen by the BMC
	keys     keys
	sent     uint32 // sequence number of the last datagram in the session
	sequence uint8  // of the last request, 1 to 63
}

// login dials and establishes a session (IPMI 2.0 §13.15, §13.17–§13.24).
func login(ctx context.Context, address string, who account) (_ *session, err error) {
	auth, integrity, crypt, ok := types.GetCipherSuiteAlgorithms(who.suite)
	if !ok {
		return nil, fmt.Errorf("cipher suite %d is not known", who.suite)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails
	nonce := [16]byte(random[4:])
	s := &session{conn: conn, console: binary.LittleEndian.Uint32(random[:]) | 1}

	// shake sends a message of the handshake and returns the next one, whose payload
	// type is one higher.
	shake := func(kind types.PayloadType, message []byte, answer interface{ Unpack([]byte) error }, id *uint32, status *types.RmcpStatusCode) error {
		err := s.trade(ctx, kind, message, kind+1, func(p []byte) bool {
			return answer.Unpack(p) == nil && (*id == s.console || *status != 0)
		})
		if err == nil && *status != 0 {
			err = refused(*status)
		}
		return err
	}

	ask := rmcpplus.OpenSessionRequest{RemoteConsoleSessionID: s.console}
	ask.AuthenticationPayload, ask.IntegrityPayload, ask.ConfidentialityPayload = rmcpplus.NewAlgorithmPayloads(auth, integrity, crypt)
	var opened rmcpplus.OpenSessionResponse
	if err := shake(types.PayloadTypeRmcpOpenSessionRequest, ask.Pack(), &opened, &opened.RemoteConsoleSessionID, &opened.RmcpStatusCode); err != nil {
		if opened.RmcpStatusCode == 0 {
			err = fmt.Errorf("%w: see that IPMI over LAN is enabled on the BMC and that UDP reaches it from here", err)
		}
		return nil, fmt.Errorf("open session: %w", err)
	}
	if opened.AuthAlg != ask.AuthAlg || opened.IntegrityAlg != ask.IntegrityAlg || opened.CryptAlg != ask.CryptAlg {
		return nil, fmt.Errorf("open session: it answers with other algorithms than those of cipher suite %d", who.suite)
	}
	s.bmc = opened.ManagedSystemSessionID

	rakp1 := rmcpplus.RAKPMessage1{ManagedSystemSessionID: s.bmc, RemoteConsoleRandomNumber: nonce, NameOnlyLookup: true,
		RequestedMaximumPrivilegeLevel: who.privilege, UsernameLength: uint8(len(who.user)), Username: []byte(who.user)} // #nosec G115 -- 16 at most: see prepare
	role, secret := rakp1.Role(), crypto.PadPassword20([]byte(who.password))
	rakp2 := rmcpplus.RAKPMessage2{AuthAlg: auth}
	if err := shake(types.PayloadTypeRAKPMessage1, rakp1.Pack(), &rakp2, &rakp2.RemoteConsoleSessionID, &rakp2.RmcpStatusCode); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	theirs, guid := rakp2.ManagedSystemRandomNumber[:], rakp2.ManagedSystemGUID[:]
	code, err := crypto.RAKP2AuthCode(auth, s.console, s.bmc, nonce[:], theirs, guid, role, who.user, secret)
	if err != nil || !crypto.Equal(code, rakp2.KeyExchangeAuthenticationCode) {
		return nil, fmt.Errorf("log in: %w", refused(types.RmcpStatusCodeInvalidIntegrityCheckValue))
	}

	if code, err = crypto.RAKP3AuthCode(auth, theirs, s.console, role, who.user, secret); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	rakp3 := rmcpplus.RAKPMessage3{ManagedSystemSessionID: s.bmc, KeyExchangeAuthenticationCode: code}
	rakp4 := rmcpplus.RAKPMessage4{AuthAlg: auth}
	if err := shake(types.PayloadTypeRAKPMessage3, rakp3.Pack(), &rakp4, &rakp4.MgmtConsoleSessionID, &rakp4.RmcpStatusCode); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	sik, k1, k2, err := crypto.DeriveSessionKeys(auth, nonce[:], theirs, role, who.user, secret)
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	code, err = crypto.RAKP4ICV(auth, nonce[:], s.bmc, guid, sik)
	if err != nil || !crypto.Equal(code, rakp4.IntegrityCheckValue) {
		return nil, errors.New("log in: it proves the password but not the session's key: it has a BMC key (Kg) set, which is not supported: clear that key")
	}
	s.keys, s.sent = keys{integrity, k1, k2}, 0

	// A session begins at user level (IPMI 2.0 §22.18), and on some BMCs higher.
	if err := s.command(ctx, &app.SetSessionPrivilegeLevelRequest{PrivilegeLevel: who.privilege}, &app.SetSessionPrivilegeLevelResponse{}); err != nil {
		s.end(ctx)
		return nil, fmt.Errorf("set the session's privilege: %w", err)
	}
	return s, nil
}

// refused is the error for a login that the BMC did not accept, with the remedy.
func refused(code types.RmcpStatusCode) error {
	cure := "see the BMC's own log"
	switch code {
	case types.RmcpStatusCodeNoResToCreateSess, types.RmcpStatusCodeNoResToCreateSessAtRole:
		cure = "all its sessions are taken: end another, or wait a minute until those that nobody uses have ended"
	case types.RmcpStatusCodeInvalidAuthAlg, types.RmcpStatusCodeInvalidIntegrityAlg, types.RmcpStatusCodeInvalidConfidentAlg,
		types.RmcpStatusCodeNoMatchingAuthPayload, types.RmcpStatusCodeNoMatchingIntegrityPayload, types.RmcpStatusCodeNoCipherSuiteMatch:
		cure = "it does not take this cipher suite: try cipher=3 or cipher=17, or enable it on the BMC"
	case types.RmcpStatusCodeInvalidRole, types.RmcpStatusCodeUnauthorizedRoleOfPriLevel:
		cure = "this user has not that privilege over LAN: ask for less with privilege=, or grant it on the BMC"
	case types.RmcpStatusCodeUnauthorizedName, types.RmcpStatusCodeInvalidNameLength, types.RmcpStatusCodeInvalidIntegrityCheckValue:
		cure = "the user or the password is wrong: give user=NAME and password=env:NAME or file:PATH that the BMC lets in"
	}
	return fmt.Errorf("RMCP+ status 0x%02x: %s", uint8(code), cure)
}

// command sends a command to the BMC and unpacks its answer. A refusal is a
// [types.CompletionCode].
func (s *session) command(ctx context.Context, request types.Request, response types.Response) error {
	s.sequence = s.sequence%types.IPMIRequesterSequenceMax + 1
	of := request.Command()
	message := types.IPMIRequest{ResponderAddr: types.BMC_SA, NetFn: of.NetFn, RequesterAddr: types.RemoteConsole_SWID,
		RequesterSequence: s.sequence, Command: of.ID, CommandData: request.Pack()}
	message.ComputeChecksum()
	var answer types.IPMIResponse
	err := s.trade(ctx, types.PayloadTypeIPMI, message.Pack(), types.PayloadTypeIPMI, func(p []byte) bool {
		answer = types.IPMIResponse{}
		return answer.Unpack(p) == nil && answer.RequesterSequence == s.sequence && answer.Command == of.ID && answer.NetFn == of.NetFn|1
	})
	if err != nil {
		return err
	}
	if code := types.CompletionCode(answer.CompletionCode); code != types.CodeOK {
		return code
	}
	return response.Unpack(answer.Data)
}

// trade sends a payload, at least once and again after each [resend], until an answer
// is accepted or ctx ends. It ignores datagrams that cannot be verified or are not
// accepted.
func (s *session) trade(ctx context.Context, kind types.PayloadType, payload []byte, want types.PayloadType, accept func(payload []byte) bool) error {
	defer context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })()
	var buf [2048]byte
	for {
		s.sent++
		raw, err := s.keys.seal(kind, s.bmc, s.sent, payload)
		if err != nil {
			return err
		}
		if _, err := s.conn.Write(raw); err != nil {
			return err
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(resend)); err != nil {
			return err
		}
		for {
			// Checked after the deadline is set, because the end of ctx may have set
			// another one before.
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := s.conn.Read(buf[:])
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			if got, answer, err := s.keys.unseal(buf[:n]); err == nil && got == want && accept(answer) {
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// end closes the session at the BMC, waits for that until ctx ends, and closes the
// socket. A BMC that misses the message ends the session after a minute.
func (s *session) end(ctx context.Context) {
	_ = s.command(ctx, &app.CloseSessionRequest{SessionID: s.bmc}, &app.CloseSessionResponse{})
	_ = s.conn.Close()
}

// headers is the length of the headers of RMCP and of the session (IPMI 2.0 table
// 13-8).
const headers = 4 + 12

// seal packs a payload into a datagram; once there are keys, it encrypts and signs it
// (IPMI 2.0 §13.28.4, §13.29).
func (k keys) seal(kind types.PayloadType, session, sequence uint32, payload []byte) ([]byte, error) {
	if k.k1 == nil {
		return protocol.BuildRMCPPlusPacket(uint8(kind), 0, 0, 0, payload), nil
	}
	hidden, err := crypto.EncryptAESPayload(payload, k.k2, crypto.RandomBytes(16))
	if err != nil {
		return nil, err
	}
	return k.sign(protocol.BuildRMCPPlusPacket(uint8(kind), types.PayloadFlagEncrypted|types.PayloadFlagAuthenticated, session, sequence, hidden))
}

// sign adds the session trailer to a datagram.
func (k keys) sign(raw []byte) ([]byte, error) {
	pad := types.IntegrityPadLen(headers-4, len(raw)-headers)
	raw = append(append(raw, bytes.Repeat([]byte{0xff}, pad)...), byte(pad), 0x07) // #nosec G115 -- 0 to 3
	code, err := crypto.SessionIntegrityAuthCode(k.integrity, raw[4:], k.k1, "")
	return append(raw, code...), err
}

// unseal unpacks a datagram. Once there are keys it rejects all that were not signed
// with them.
func (k keys) unseal(raw []byte) (types.PayloadType, []byte, error) {
	if len(raw) < headers || raw[0] != 0x06 || raw[3] != 0x07 || raw[4] != 0x06 {
		return 0, nil, errors.New("not RMCP+")
	}
	_, _, kind, flags, payload, ok := protocol.ParseRMCPPlusHeader(raw)
	if !ok {
		return 0, nil, errors.New("cut short")
	}
	if k.k1 == nil {
		return types.PayloadType(kind), payload, nil
	}
	size, _ := crypto.IntegrityAuthCodeLen(k.integrity)
	end := len(raw) - size
	if end < headers+len(payload) {
		return 0, nil, errors.New("not signed")
	}
	if code, err := crypto.SessionIntegrityAuthCode(k.integrity, raw[4:end], k.k1, ""); err != nil || !crypto.Equal(code, raw[end:]) {
		return 0, nil, errors.New("signed by somebody else")
	}
	if flags&types.PayloadFlagEncrypted == 0 {
		return types.PayloadType(kind), payload, nil
	}
	// Initialisation vector and whole blocks: the cipher panics on anything else.
	if len(payload) < 32 || len(payload)%16 != 0 {
		return 0, nil, errors.New("not whole blocks")
	}
	plain, err := crypto.DecryptAESPayload(payload, k.k2)
	return types.PayloadType(kind), plain, err
}
