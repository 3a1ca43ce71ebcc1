// Package snmp meters the power and energy of a PDU, or of any other device with an
// SNMP agent. Known PDUs are rows of a table; any other figure is given by its OID:
//
//	snmp:pdu1,outlet=3+7
//	snmp:10.0.0.9,user=ops,password=file:/etc/perwatt/pdu,privacy=env:PDU_KEY
//	snmp:ups,oid=1.3.6.1.2.1.33.1.4.4.1.4.1,accuracy=3%
//
// A meter queries one agent over one UDP socket, with one GET per reading and one
// retransmission within the timeout. If Open finds that the agent accepts only a few
// values per GET, a reading takes several. The package sets nothing, walks nothing and
// receives no traps.
package snmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = slices.Concat([]endpoint.Option{
	{Key: "outlet", Help: "outlets that feed this node, added up: 3, or 3+7 (none: the inlet is read)"},
	{Key: "inlet", Help: "inlet of the PDU (1)"},
	{Key: "unit", Help: "number of the PDU in a chain (1)"},
	{Key: "profile", Help: "kind of PDU: " + strings.Join(profileNames(), ", ") + " (detected)"},
	{Key: "oid", Help: "OID of an integer to read instead, for any other device"},
	{Key: "scale", Help: "W or J per count of oid (1)"},
	{Key: "kind", Help: "quantity of oid: power or energy (power)"},
	{Key: "version", Help: "1, 2c or 3 (2c; 3 with user)"},
	{Key: "community", Help: "community: env:NAME or file:PATH (public)"},
	{Key: "auth", Help: "authentication protocol of user: " + strings.Join(authNames, ", ") + " (SHA)"},
	{Key: "privacy", Help: "AES privacy passphrase of user: env:NAME or file:PATH (not encrypted)"},
}, endpoint.Login, power.Common)

// authNames are gosnmp's authentication protocols from SHA on, in its order. MD5 is
// obsolete and left out.
var authNames = []string{"SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"}

// quiet is the least time that Open waits for several values at once, from an agent
// that has answered for each alone.
const quiet = 500 * time.Millisecond

// most is how many inlets or outlets one meter may read.
const most = 8

// channel is one figure that a meter reads.
type channel struct {
	quantity
	place string         // inlet1, outlet3; empty with oid=
	typ   gosnmp.Asn1BER // ASN.1 type of the value at Open
	bound power.Bound
}

func (c channel) name() string {
	what := "power"
	if c.kind == results.Counter {
		what = "energy"
	}
	if c.place == "" {
		return what
	}
	return c.place + "-" + what
}

// step is the resolution of its values, in W or J.
func (c channel) step() float64 { return cmp.Or(float64(c.accuracy.Resolution), c.scale) }

// want is what the spec asks for.
type want struct {
	what    string // inlet or outlet
	numbers []int
	unit    int
}

// Open asks the agent at the target, HOST or HOST:PORT, which figures it has and
// returns a meter of them. An agent that does not answer or lacks the figure is an
// error with its remedy, never [power.ErrAbsent]: the user named it.
func Open(ctx context.Context, s power.Spec) (power.Meter, error) {
	m, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("snmp: %w", err)
	}
	return m, nil
}

func open(ctx context.Context, s power.Spec) (_ power.Meter, err error) {
	address, err := s.Address("161")
	if err != nil {
		return nil, err
	}
	// Each query may take as long as a reading.
	timeout, err := s.Duration("timeout", 2*time.Second, 10*time.Millisecond, time.Minute)
	if err != nil {
		return nil, err
	}
	offers, notes, err := offered(s)
	if err != nil {
		return nil, err
	}
	c, err := login(s, address)
	if err != nil {
		return nil, err
	}
	dialling, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c.Context, c.Timeout = dialling, timeout
	if err := c.Connect(); err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	c.atOnce = 1 // which every agent accepts
	for i, o := range offers {
		if o.err != nil {
			continue
		}
		began := time.Now()
		chs, why, err := c.fit(ctx, timeout, o.channels)
		tookAll := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("no answer within %v", timeout)
			}
			return nil, fmt.Errorf("%s: %w: check the address, the firewalls before its UDP port, and that the agent lets this machine in with %s", address, err, c.key())
		case why != nil:
			offers[i].err = why
			continue
		}
		if err := c.whole(ctx, timeout, min(timeout, max(quiet, 2*tookAll)), chs); err != nil {
			return nil, fmt.Errorf("%s: it answers for each value alone, but not for those of a reading: %w", address, err)
		}
		if s.Has("community") && c.Version != gosnmp.Version3 {
			notes = append(notes, "the community, which lets one ask, travels in clear over the network (SNMPv"+c.Version.String()+")")
		}
		return c.meter(s, address, o, chs, notes)
	}
	var whys []string
	for _, o := range offers {
		whys = append(whys, fmt.Sprintf("%s: %v", cmp.Or(o.name, "oid"), o.err))
	}
	return nil, fmt.Errorf("%s does not have the figure (%s): name its kind with profile= (%s), or give the figure itself with oid=, scale= and kind=",
		address, strings.Join(whys, "; "), strings.Join(profileNames(), ", "))
}

// offer is what a profile would read, or why it cannot.
type offer struct {
	profile
	channels []channel
	err      error
}

// offered returns the offers that the spec allows, in the order in which they are
// tried.
func offered(s power.Spec) (out []offer, notes []string, err error) {
	bad := func(format string, args ...any) ([]offer, []string, error) {
		return nil, nil, fmt.Errorf("%w: %s", endpoint.ErrSpec, fmt.Sprintf(format, args...))
	}
	if s.Has("oid") {
		for _, key := range []string{"outlet", "inlet", "unit", "profile"} {
			if s.Has(key) {
				return bad("%s= is for a known PDU, oid= for any other: give one of them", key)
			}
		}
		oid := strings.TrimPrefix(s.Get("oid", ""), ".")
		arcs := strings.Split(oid, ".")
		for _, arc := range arcs {
			n, err := strconv.ParseUint(arc, 10, 32)
			if err != nil || strconv.FormatUint(n, 10) != arc || len(arcs) < 3 || len(arcs) > 128 || !strings.HasPrefix(oid, "1.3.") {
				return bad("oid=%.80s: must be an OID in numbers, such as 1.3.6.1.4.1.318.1.1.12.1.16.0", oid)
			}
		}
		scale, err := s.Number("scale", 1, 1e-9, 1e9)
		if err != nil {
			return nil, nil, err
		}
		kind, err := s.Choice("kind", "power", "power", "energy")
		if err != nil {
			return nil, nil, err
		}
		q := quantity{kind: results.Gauge, oid: oid, scale: scale, accuracy: results.Accuracy{Gain: results.Absent()}}
		if kind == "energy" {
			q.kind = results.Counter
		}
		return []offer{{channels: []channel{{quantity: q}}}}, []string{fmt.Sprintf("OID %s × %g is its %s, as the spec says", oid, scale, kind)}, nil
	}
	w := want{what: "inlet"}
	switch {
	case s.Has("scale") || s.Has("kind"):
		return bad("scale= and kind= need oid=")
	case s.Has("outlet") && s.Has("inlet"):
		return bad("an inlet feeds the outlets: give inlet= or outlet=")
	case s.Has("outlet"):
		w.what = "outlet"
	default:
		notes = append(notes, "the inlet feeds all that hangs on the PDU: this is the node's power only if nothing else does (outlet=)")
	}
	for _, text := range strings.Split(s.Get(w.what, "1"), "+") {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 || slices.Contains(w.numbers, int(n)) || len(w.numbers) == most {
			return bad("%s=%.40s: must be up to %d different numbers, such as 3 or 3+7", w.what, s.Get(w.what, ""), most)
		}
		w.numbers = append(w.numbers, int(n))
	}
	unit, err := s.Number("unit", 1, 1, 1<<16)
	if w.unit = int(unit); err != nil || float64(w.unit) != unit {
		return bad("unit=%.40s: must be a number from 1", s.Get("unit", ""))
	}
	only, err := s.Choice("profile", "", append(profileNames(), "")...)
	if err != nil {
		return nil, nil, err
	}
	var whys []string
	for _, p := range profiles {
		if only == "" || only == p.name {
			chs, err := p.channels(w)
			if err != nil {
				whys = append(whys, fmt.Sprintf("%s: %v", p.name, err))
			}
			out = append(out, offer{p, chs, err})
		}
	}
	if len(whys) == len(out) {
		return bad("%s", strings.Join(whys, "; "))
	}
	return out, notes, nil
}

// client is a gosnmp client that obeys a context and rejects answers that do not match
// its query. It has no logger, because gosnmp would log secrets.
type client struct {
	*gosnmp.GoSNMP
	atOnce int // values in one GET
}

// login returns a client with the credentials of the spec.
func login(s power.Spec, address string) (client, error) {
	bad := func(why string) (client, error) { return client{}, fmt.Errorf("%w: %s", endpoint.ErrSpec, why) }
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return client{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return client{}, err
	}
	user := s.Get("user", "")
	usual := "2c"
	if user != "" {
		usual = "3"
	}
	version, err := s.Choice("version", usual, "1", "2c", "3")
	if err != nil {
		return client{}, err
	}
	auth, err := s.Choice("auth", "SHA", authNames...)
	if err != nil {
		return client{}, err
	}
	var secrets [3]string
	for i, key := range []string{"community", "password", "privacy"} {
		if secrets[i], err = s.Secret(key); err != nil {
			return client{}, err
		}
	}
	community, password, privacy := cmp.Or(secrets[0], "public"), secrets[1], secrets[2]
	x := &gosnmp.GoSNMP{Target: host, Port: uint16(number), Transport: "udp", Retries: 1}
	if version != "3" {
		switch {
		case user != "" || password != "" || privacy != "" || s.Has("auth"):
			return bad("user=, password=, auth= and privacy= need version 3: user= is missing, or version= is another")
		case len(community) > 127: // gosnmp writes its length in one byte
			return bad("community: longer than 127 bytes")
		}
		x.Community, x.Version = community, map[string]gosnmp.SnmpVersion{"1": gosnmp.Version1, "2c": gosnmp.Version2c}[version]
		return client{GoSNMP: x}, nil
	}
	switch {
	case user == "" || password == "":
		return bad("version 3 needs user= and password=")
	case s.Has("community"):
		return bad("community= is for versions 1 and 2c, and user= selects version 3")
	}
	usm := &gosnmp.UsmSecurityParameters{UserName: user, AuthenticationPassphrase: password, PrivacyPassphrase: privacy, PrivacyProtocol: gosnmp.NoPriv,
		AuthenticationProtocol: gosnmp.SHA + gosnmp.SnmpV3AuthProtocol(slices.Index(authNames, auth))} // #nosec G115 -- 0 to 4: Choice took it from authNames
	x.Version, x.SecurityModel, x.SecurityParameters, x.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, usm, gosnmp.AuthNoPriv
	if privacy != "" {
		usm.PrivacyProtocol, x.MsgFlags = gosnmp.AES, gosnmp.AuthPriv
	}
	return client{GoSNMP: x}, nil
}

// key names the credentials for an error: an agent may ignore wrong ones without an
// answer.
func (c client) key() string {
	if c.Version == gosnmp.Version3 {
		return "this user=, password=, auth= and privacy="
	}
	return "this community= (and with version=1 if it is an older one)"
}

// lack is the error about an agent that answers but lacks the figure.
type lack struct{ error }

// get queries OIDs in one GET and returns their values in that order.
func (c client) get(ctx context.Context, oids ...string) ([]gosnmp.SnmpPDU, error) {
	deadline, _ := ctx.Deadline() // each query has one
	// Half of the time is for the query, half for its retransmission. gosnmp checks its
	// context only before it sends; after that the socket's deadline ends the wait.
	c.Context, c.Timeout = ctx, time.Until(deadline)/2
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = c.Conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	got, err := c.Get(oids)
	if err != nil {
		if !time.Now().Before(deadline) {
			<-ctx.Done() // the socket's timer may be a little early
		}
		if why, _, stack := strings.Cut(err.Error(), " Stack:"); stack {
			err = errors.New(why)
		}
		return nil, err
	}
	return answer(got, oids)
}

// getAll is get for any number of OIDs, in GETs of as many as the agent accepts.
func (c client) getAll(ctx context.Context, oids []string) (out []gosnmp.SnmpPDU, err error) {
	for some := range slices.Chunk(oids, c.atOnce) {
		got, err := c.get(ctx, some...)
		if err != nil {
			return nil, err
		}
		out = append(out, got...)
	}
	return out, nil
}

// whole queries everything that the channels need, as a reading does, and finds by
// halving how many values the agent accepts in one GET. Asked for more, an agent
// answers tooBig (RFC 3416 §4.2.1), leaves values out, or does not answer within
// silence.
func (c *client) whole(ctx context.Context, timeout, silence time.Duration, chs []channel) error {
	oids := needed(chs)
	for c.atOnce = len(oids); ; c.atOnce = (c.atOnce + 1) / 2 {
		wait := silence
		if c.atOnce == 1 {
			wait = timeout
		}
		limited, cancel := context.WithTimeout(ctx, wait)
		_, err := c.getAll(limited, oids)
		late := limited.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil || c.atOnce == 1:
			if late {
				err = fmt.Errorf("no answer within %v: give a longer timeout=: %w", timeout, err)
			}
			return err
		}
	}
}

// needed returns the OIDs of a reading of the channels.
func needed(chs []channel) (oids []string) {
	for _, ch := range chs {
		oids = append(oids, ch.oids()...)
	}
	return oids
}

// answer checks that got answers a GET of oids and returns its values, in that order.
func answer(got *gosnmp.SnmpPacket, oids []string) ([]gosnmp.SnmpPDU, error) {
	switch {
	case got.PDUType != gosnmp.GetResponse:
		return nil, fmt.Errorf("a %v instead of an answer", got.PDUType)
	case got.RequestID == 0: // which gosnmp accepts as the answer to any request
		return nil, errors.New("an answer to no question of ours")
	case got.Error == gosnmp.AuthorizationError:
		return nil, fmt.Errorf("the agent denies access with these credentials (%v)", got.Error)
	case got.Error != gosnmp.NoError:
		of := "it"
		if i := int(got.ErrorIndex); i >= 1 && i <= len(oids) {
			of = oids[i-1]
		}
		return nil, lack{fmt.Errorf("the agent refuses %s: %v", of, got.Error)}
	case len(got.Variables) != len(oids):
		return nil, fmt.Errorf("%d values instead of %d", len(got.Variables), len(oids))
	}
	for i, v := range got.Variables {
		if strings.TrimPrefix(v.Name, ".") != oids[i] {
			return nil, fmt.Errorf("the value of %s instead of %s", v.Name, oids[i])
		}
	}
	return got.Variables, nil
}

// value returns the number that an agent gives, in counts, or an error if it gives
// none. Agents without a value answer with an empty variable, with something other than
// a number, or with −1 (PowerNet-MIB: not supported by this model).
func value(v gosnmp.SnmpPDU) (float64, error) {
	var n float64
	switch x := v.Value.(type) {
	case int:
		n = float64(x)
	case uint:
		n = float64(x)
	case uint32:
		n = float64(x)
	case uint64:
		n = float64(x)
	case nil:
		return 0, fmt.Errorf("it gives nothing (%v)", v.Type)
	case []byte:
		return 0, fmt.Errorf("it gives no integer (%v): %.40q", v.Type, x)
	default:
		return 0, fmt.Errorf("it gives no integer (%v)", v.Type)
	}
	widest := float64(math.MaxUint32)
	switch v.Type {
	case gosnmp.Integer:
		widest = math.MaxInt32
	case gosnmp.Counter32, gosnmp.Gauge32, gosnmp.Uinteger32:
	case gosnmp.Counter64:
		widest = math.MaxUint64
	default:
		return 0, fmt.Errorf("it gives no integer (%v)", v.Type)
	}
	switch {
	case n < 0:
		return 0, fmt.Errorf("it gives %.0f: it does not measure this", n)
	case n > widest:
		return 0, fmt.Errorf("it gives %.0f, more than %v can hold", n, v.Type)
	case n == widest && v.Type != gosnmp.Counter32:
		return 0, fmt.Errorf("it gives %.0f, the most that %v can hold: it is at its limit, or -1", n, v.Type)
	}
	return n, nil
}

// oids are the OIDs of a reading of the channel.
func (c channel) oids() []string {
	if c.ready == "" {
		return []string{c.oid}
	}
	return []string{c.ready, c.oid}
}

// take converts the values of oids to W or J.
func (c channel) take(vars []gosnmp.SnmpPDU) (float64, error) {
	if c.ready != "" {
		switch ok, err := value(vars[0]); {
		case err != nil:
			return 0, fmt.Errorf("its availability: %w", err)
		case ok != 1:
			return 0, errors.New("the PDU says that its sensor is not available")
		}
	}
	v := vars[len(vars)-1]
	n, err := value(v)
	switch {
	case err != nil:
		return 0, err
	case c.typ != 0 && v.Type != c.typ:
		return 0, fmt.Errorf("it was %v and is %v", c.typ, v.Type)
	case c.kind == results.Gauge && (v.Type == gosnmp.Counter32 || v.Type == gosnmp.Counter64):
		return 0, fmt.Errorf("a %v is no power", v.Type)
	}
	return n * c.scale, nil
}

// fit queries the channels one by one, because an SNMPv1 agent returns no value at all
// if it lacks one of them, and keeps those that exist. why is set if a place has none
// left; err if the agent does not answer.
func (c client) fit(ctx context.Context, timeout time.Duration, chs []channel) (fitting []channel, why, err error) {
	missing := map[string][]string{}
	for _, ch := range chs {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		err := c.learn(ctx, &ch)
		cancel()
		switch _, lacks := errors.AsType[lack](err); {
		case err == nil:
			fitting = append(fitting, ch)
		case lacks:
			missing[ch.place] = append(missing[ch.place], fmt.Sprintf("%s: %v", ch.name(), err))
		default:
			return nil, nil, err
		}
	}
	for _, ch := range fitting {
		delete(missing, ch.place)
	}
	for _, ch := range chs {
		if whys := missing[ch.place]; whys != nil {
			return nil, errors.New(strings.Join(whys, ", ")), nil
		}
	}
	return fitting, nil, nil
}

// learn asks the agent for the value of one count, where the agent defines it, and for
// the type of the figure.
func (c client) learn(ctx context.Context, ch *channel) error {
	if ch.scale == 0 {
		var oids []string
		for _, column := range []string{unitsColumn, digitsColumn, resolutionColumn} {
			oids = append(oids, strings.Replace(ch.config, "{column}", column, 1))
		}
		got, err := c.getAll(ctx, oids)
		if err != nil {
			return err
		}
		unit, err := value(got[0])
		if err != nil {
			return lack{fmt.Errorf("its unit: %w", err)}
		}
		digits, err := value(got[1])
		if err != nil {
			return lack{fmt.Errorf("its decimal digits: %w", err)}
		}
		per, known := perUnit[ch.kind][int(unit)]
		if !known || digits > 9 {
			return lack{fmt.Errorf("unit %g with %g decimal digits", unit, digits)}
		}
		ch.scale = per / math.Pow(10, digits)
		if counts, err := value(got[2]); err == nil && counts > 1 {
			ch.accuracy.Resolution = results.Float(counts * ch.scale)
		}
	}
	got, err := c.getAll(ctx, ch.oids())
	if err != nil {
		return err
	}
	if _, err := ch.take(got); err != nil {
		return lack{err}
	}
	ch.typ = got[len(got)-1].Type
	if ch.typ == gosnmp.Counter32 {
		ch.bound.Range = (1 << 32) * ch.scale
	}
	return nil
}

// meter is the power.Meter of what was found.
func (c client) meter(s power.Spec, address string, o offer, chs []channel, notes []string) (power.Meter, error) {
	if o.name != "" {
		notes = append([]string{o.about}, notes...)
	}
	if o.note != "" {
		notes = append(notes, o.note)
	}
	settle(chs)
	for i, ch := range chs {
		switch {
		case i == 0 || chs[i-1].place != ch.place:
		case ch.kind == results.Counter:
			notes = append(notes, fmt.Sprintf("%s stands in for the power of the same place if that says nothing: its steps of %g J are coarse", ch.name(), ch.step()))
		default:
			notes = append(notes, ch.name()+" stands in for the energy of the same place if that counts nothing")
		}
	}
	// PDU2-MIB fixes measurementPeriod at one second; agents of other PDUs are no
	// faster.
	about := power.Info{Source: address, Period: time.Second, Notes: notes}
	oids := needed(chs)
	if c.atOnce < len(oids) {
		about.Notes = append(about.Notes, fmt.Sprintf("the agent takes %d values in a question: a reading of %d is of several", c.atOnce, len(oids)))
	}
	var bounds []power.Bound
	for _, ch := range chs {
		bounds = append(bounds, ch.bound)
		one := results.Channel{Name: ch.name(), Unit: results.Watt, Kind: ch.kind, Boundary: results.Wall, Origin: results.Measured, Accuracy: ch.accuracy}
		if one.Accuracy.Resolution = results.Float(ch.step()); ch.kind == results.Counter {
			one.Unit = results.Joule
		}
		one.Total, one.Place = one.Boundary, ch.place
		about.Channels = append(about.Channels, one)
	}
	m, err := s.Poller(about, bounds, func(ctx context.Context) ([]power.Quantity, error) {
		got, err := c.getAll(ctx, oids)
		if err != nil {
			return nil, err
		}
		out := make([]power.Quantity, len(chs))
		for i, ch := range chs {
			n := len(ch.oids())
			out[i].Value, out[i].Err = ch.take(got[:n])
			if ch.kind == results.Counter && out[i].Value == 0 && out[i].Err == nil {
				out[i].Err = errors.New("its counter is 0: it counts nothing, or is not supported")
			}
			got = got[n:]
		}
		return out, nil
	}, c.Close)
	if err != nil {
		return nil, err
	}
	return m, nil
}
