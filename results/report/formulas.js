// Generated from the functions of results/economics by its TestJavaScript; DO NOT EDIT.
'use strict';
function columnOf(column, kind, t, x) {
  let l = ledgerOf(kind, t, x);
  if (column === "revenue") {
    return l.Revenue;
  } else if (column === "power") {
    return l.Power;
  } else if (column === "after-power") {
    return Ledger_AfterPower(l);
  } else if (column === "operations") {
    return l.Operations;
  } else if (column === "capital") {
    return l.Capital;
  } else if (column === "margin") {
    return Ledger_Margin(l);
  } else if (column === "daily") {
    return (Ledger_Margin(l) * siteWattsOf(kind, t, x));
  } else if (column === "break-even") {
    return breakEvenOf(kind, t, x);
  } else if (column === "capex") {
    return capexOf(kind, t, x);
  } else if (column === "machine") {
    return (capexOf(kind, t, x) * siteWattsOf(kind, t, x));
  } else if (column === "cash") {
    return Ledger_Cash(l);
  } else if (column === "payback") {
    return payback(capexOf(kind, t, x), (Ledger_Cash(l) * 3.1536e+07));
  } else if (column === "npv") {
    return npv(t[16], flowsOf(kind, t, x));
  } else if (column === "irr") {
    return irr(flowsOf(kind, t, x));
  } else if (column === "hashprice/cash") {
    return indifference(0, (l.Power + l.Operations), (l.Revenue / hashpriceOf(t)));
  } else if (column === "hashprice/margin") {
    return indifference(0, ((l.Power + l.Operations) + l.Capital), (l.Revenue / hashpriceOf(t)));
  } else if (column === "hashprice/now") {
    return hashpriceOf(t);
  } else if (column === "bitcoin/cost") {
    return costPerBitcoin(x, t[10], t[11], t[12], t[9], bitcoinPerHash(t[2], (t[3] + t[4])), t[8]);
  } else if (column === "bitcoin/now") {
    return t[1];
  } else if (column === "squeeze/growth") {
    return squeezeOf(l);
  } else if (column === "squeeze/difficulty") {
    return (t[2] * (1 + squeezeOf(l)));
  } else if (column === "squeeze/after") {
    return squeezedAfter(squeezeOf(l), networkGrowthOf(t));
  } else if (column === "squeeze/share") {
    return (networkShare(t[21], t[2]) / (1 + squeezeOf(l)));
  } else if (column === "work/power") {
    return (l.Power / sampleRevenue(1, x, t[9], 0, t[10]));
  } else if (column === "work/operations") {
    return (l.Operations / sampleRevenue(1, x, t[9], 0, t[10]));
  } else if (column === "work/capital") {
    return (l.Capital / sampleRevenue(1, x, t[9], 0, t[10]));
  } else if (column === "work/all") {
    return (((l.Power + l.Operations) + l.Capital) / sampleRevenue(1, x, t[9], 0, t[10]));
  } else if (column === "work/rent") {
    return ((t[20] * rentedGPUs(t)) / (x * t[18]));
  } else if (column === "retrofit/cash") {
    return Math.max(0, Ledger_Cash(l));
  } else if (column === "retrofit/rent") {
    let costs = letOf(t, 0);
    return indifference(Math.max(0, Ledger_Cash(l)), (costs.Operations + costs.Capital), (t[26] / t[27]));
  } else if (column === "retrofit/now") {
    return t[25];
  } else if (column === "retrofit/payback") {
    let tenant = letOf(t, t[25]);
    return payback(retrofitOf(t), ((Ledger_Cash(tenant) - Math.max(0, Ledger_Cash(l))) * 3.1536e+07));
  }
  return NaN;
}
function spanning(m, f) {
  let out = follow(m, f);
  if (((out.Low === out.High) && (f((2 * m.Value)) === out.Value))) {
    [out.Low, out.High] = [NaN, NaN];
  }
  return out;
}
function coRunOf(column, kind, t, v) {
  let [earn, power] = [(v[0] * (hashpriceOf(t) * (1 - t[19]))), ((v[1] * t[10]) * t[11])];
  let forgone = ((((1 - v[2]) * revenueOf(kind, t, v[3])) * t[18]) * t[10]);
  if (column === "mullet/earn") {
    return earn;
  } else if (column === "mullet/power") {
    return power;
  } else if (column === "mullet/forgone") {
    return forgone;
  }
  return ((earn - power) - forgone);
}
function quadrature(f, of) {
  let at = [];
  for (const m of of) {
    at = [...at, m.Value];
  }
  let value = f(at);
  let [down, up] = [0, 0];
  for (const [i, m] of of.entries()) {
    if ((f(moved(at, i, (m.Value + 1))) !== value)) {
      let [low, high] = [0, 0];
      for (const end of [m.Low, m.High]) {
        let by = (f(moved(at, i, (m.Value + measure_widened(m, end)))) - value);
        [low, high] = [Math.min(low, by), Math.max(high, by)];
      }
      [down, up] = [Math.sqrt(((down * down) + (low * low))), Math.sqrt(((up * up) + (high * high)))];
    }
  }
  return {Value: value, Low: (value - down), High: (value + up), Instrument: NaN};
}
function leftOut(column, kind, t, x, v, low, high) {
  if (column === "margin" || column === "after-power" || column === "daily") {
    return (revenueOf(kind, t, x) === 0);
  } else if (column === "payback" || column === "squeeze/after") {
    return outside(v, 0, t[15]);
  } else if (column === "retrofit/payback") {
    return outside(v, 0, t[30]);
  } else if (column === "irr") {
    return outside(v, -1, 12);
  }
  return outside(v, low, high);
}
function verdictIn(column, t, factor, value, low, high, counts, gains) {
  if (column === "margin" || column === "mullet/left") {
    return sideOf(value, low, high, counts, gains, "earns", "loses");
  } else if (column === "hashprice/cash") {
    let now = (hashpriceOf(t) / factor);
    return sideOf((now - value), (now - high), (now - low), counts, gains, "below the price", "above the price");
  } else if (column === "bitcoin/cost") {
    let now = (t[1] / factor);
    return sideOf((now - value), (now - high), (now - low), counts, gains, "below the price", "above the price");
  }
  return "";
}
function crossoverOf(kind, t, x, otherKind, other, y, times) {
  let l = ledgerOf(otherKind, other, y);
  return equalPrice((Ledger_Margin(l) + (l.Revenue * (times - 1))), kind, t, x);
}
function efficiencyOf(t, times, power) {
  return breakEvenEfficiency((hashpriceOf(t) * times), power, t[10], t[8]);
}
function rangeOf(price, low, high, least, most) {
  if (Number.isNaN(low)) {
    let d = (Math.abs(price) * 0.1);
    return {Value: price, Low: Math.max(least, (price - d)), High: Math.min(most, (price + d)), Instrument: NaN};
  }
  return {Value: price, Low: low, High: high, Instrument: NaN};
}
function soldAtALoss(options) {
  let best = preferred(options);
  if ((best < 0)) {
    return [];
  }
  let o = options[best];
  let parts = [{Text: "Below ", Figure: "", Interval: false}, {Text: "", Figure: o.Figures[0], Interval: false}, {Text: ((" " + o.Name) + " loses cash"), Figure: "", Interval: false}];
  parts = said(parts, ", below ", o.Figures, o.Values, 1, " it does not return its price");
  return [...parts, {Text: "; the sheet has ", Figure: "", Interval: false}, {Text: "", Figure: o.Figures[2], Interval: false}, {Text: ".", Figure: "", Interval: false}];
}
function squeezedFirst(options) {
  let first = preferred(options);
  if ((first < 0)) {
    return [];
  }
  let o = options[first];
  let of = "Of the miners measured, ";
  if ((!o.Judged)) {
    of = "Of miners as published, ";
  }
  let parts = [{Text: ((of + o.Name) + " is the first whose cash is 0"), Figure: "", Interval: false}];
  if ((Option_value(o) <= 0)) {
    return [...parts, {Text: ", already now.", Figure: "", Interval: false}];
  }
  parts = said(parts, ": after a growth of ", o.Figures, o.Values, 0, "");
  parts = said(parts, ", in ", o.Figures, o.Values, 1, "");
  parts = said(parts, "; the company's share would then be ", o.Figures, o.Values, 2, "");
  return [...parts, {Text: ".", Figure: "", Interval: false}];
}
function growOrConvert(options) {
  let kinds = [];
  let mining = false;
  for (let n = 0; (n < options.length); n++) {
    { let i = highest(options, kinds);
      if ((i >= 0)) {
        kinds = [...kinds, options[i]];
        mining = (mining || options[i].Mining);
      }
    }
  }
  if ((!mining)) {
    return [{Text: "Cannot tell: no miner was measured that may be judged; the table has what is known.", Figure: "", Interval: false}];
  }
  if ((kinds.length === 1)) {
    return [{Text: "Cannot tell: there is nothing to hold mining against; the table says what it leaves.", Figure: "", Interval: false}];
  }
  let top = kinds[0];
  let clear = (Option_low(top) > 0);
  for (const [i, o] of kinds.entries()) {
    clear = (clear && ((i === 0) || (Option_low(top) > Option_high(o))));
  }
  let word = "Convert: ";
  if ((Option_value(top) < 0)) {
    word = "Neither leaves anything: ";
  } else if ((!clear)) {
    word = "Cannot tell, the intervals do not separate: ";
  } else if (top.Mining) {
    word = "Grow: ";
  }
  let parts = [];
  for (const [i, o] of kinds.entries()) {
    if ((i > 0)) {
      word = ", ";
    }
    parts = said(parts, ((word + o.Name) + " leaves "), o.Figures, o.Values, 0, "");
    parts = said(parts, " and pays back in ", o.Figures, o.Values, 1, "");
  }
  return [...parts, {Text: "; each after what the site pays for it.", Figure: "", Interval: false}];
}
function mulletOrNot(options) {
  let best = 0;
  for (const [i, o] of options.entries()) {
    let b = options[best];
    if (((rankOf(o.Verdict) > rankOf(b.Verdict)) || ((rankOf(o.Verdict) === rankOf(b.Verdict)) && (Number.isNaN(Option_value(b)) || (Option_value(o) > Option_value(b)))))) {
      best = i;
    }
  }
  let o = options[best];
  let parts = [];
  let [word, verdict] = ["", o.Verdict];
  if (verdict === "earns") {
    word = (("Yes: " + o.Name) + " mining leaves ");
  } else if (verdict === "loses") {
    word = (("No: at best, " + o.Name) + ", mining leaves ");
  } else if (verdict === "cannot tell") {
    word = (("Cannot tell: " + o.Name) + " mining leaves ");
  }
  if ((word === "")) {
    let why = o.Why;
    if (((!Number.isNaN(Option_value(o))) || (why === ""))) {
      why = "no verdict may rest on the co-runs that were measured";
    }
    return [...parts, {Text: (("Cannot tell: " + why) + "."), Figure: "", Interval: false}];
  }
  parts = said(parts, word, o.Figures, o.Values, 0, " after its power and what is forgone in front");
  if ((o.Verdict === "cannot tell")) {
    parts = [...parts, {Text: ", and its interval holds 0 or the watts leave out a part of the node", Figure: "", Interval: false}];
  }
  if ((o.Figures.length > 1)) {
    parts = said(parts, "; switched by the hour it leaves ", o.Figures, o.Values, 1, "");
  }
  return [...parts, {Text: ".", Figure: "", Interval: false}];
}
function EarnsMost(options, caveat) {
  let best = earning(options, "");
  if ((best < 0)) {
    return [];
  }
  let o = options[best];
  let word = ((" nothing is sure to earn its costs. The best is " + o.Kind) + ", with ");
  if ((o.Verdict === "earns")) {
    word = ((" " + o.Kind) + " earns most, with ");
  }
  let parts = [{Text: (((("At the prices of the sheet" + caveat) + word) + o.Name) + ": "), Figure: "", Interval: false}, {Text: "", Figure: o.Figures[0], Interval: true}];
  parts = said(parts, ", ", o.Figures, o.Values, 1, " a machine");
  if (o.Mining) {
    parts = said(parts, "; it pays for its power up to ", o.Figures, o.Values, 2, "");
  } else {
    parts = said(parts, "; it pays for itself from ", o.Figures, o.Values, 2, "");
  }
  { let next = earning(options, o.Kind);
    if ((next >= 0)) {
      parts = said(parts, ((((". Next is " + options[next].Kind) + ", with ") + options[next].Name) + ": "), options[next].Figures, options[next].Values, 0, "");
    }
  }
  return [...parts, {Text: ".", Figure: "", Interval: false}];
}
function ledgerOf(kind, t, x) {
  if ((kind === 4)) {
    return letOf(t, t[25]);
  }
  let power = t[11];
  if (Mines(kind)) {
    power = (power * t[9]);
  }
  return {Revenue: revenueOf(kind, t, x), Power: power, Operations: t[12], Capital: capitalPerEnergy(capexOf(kind, t, x), t[16], t[15], 1)};
}
function Ledger_AfterPower(l) {
  return (l.Revenue - l.Power);
}
function Ledger_Margin(l) {
  return (Ledger_Cash(l) - l.Capital);
}
function siteWattsOf(kind, t, x) {
  return (wattsOf(kind, t, x) * t[10]);
}
function breakEvenOf(kind, t, x) {
  if (Mines(kind)) {
    return breakEvenPower(hashpriceOf(t), x, t[10], t[8]);
  }
  return equalPrice(0, kind, t, x);
}
function capexOf(kind, t, x) {
  if ((kind === 4)) {
    return retrofitOf(t);
  }
  let machine = (t[13] / wattsOf(kind, t, x));
  if ((kind === 0)) {
    machine = (t[13] / x);
  }
  return ((machine + t[14]) / t[10]);
}
function Ledger_Cash(l) {
  return (Ledger_AfterPower(l) - l.Operations);
}
function payback(capex, cash) {
  if (((cash <= 0) && (capex > 0))) {
    return Infinity;
  }
  return (capex / cash);
}
function flowsOf(kind, t, x) {
  let l = ledgerOf(kind, t, x);
  return flows(capexOf(kind, t, x), (l.Revenue * 3.1536e+07), ((l.Power + l.Operations) * 3.1536e+07), t[17], t[15]);
}
function npv(rate, flows) {
  let sum = 0;
  for (let i = (flows.length - 1); (i >= 0); i--) {
    sum = ((sum / (1 + rate)) + flows[i]);
  }
  return sum;
}
function irr(flows) {
  let [low, high] = [-0.99, 10000];
  let at = npv(low, flows);
  if (((!((at * npv(high, flows)) <= 0)) || (at === 0))) {
    return NaN;
  }
  for (let n = 0; n < 200; n++) {
    let mid = ((low + high) / 2);
    { let v = npv(mid, flows);
      if ((v === 0)) {
        return mid;
      } else if (((v > 0) === (at > 0))) {
        low = mid;
      } else {
        high = mid;
      }
    }
  }
  return ((low + high) / 2);
}
function hashpriceOf(t) {
  if ((!Number.isNaN(t[0]))) {
    return t[0];
  }
  return hashprice(t[2], (t[3] + t[4]), t[1]);
}
function indifference(margin, costs, perPrice) {
  return ((margin + costs) / perPrice);
}
function bitcoinPerHash(difficulty, reward) {
  return (reward / (difficulty * 4.294967296e+09));
}
function costPerBitcoin(joulePerHash, pue, power, operations, uptime, bitcoinPerHash, fee) {
  return (((joulePerHash * pue) * (power + (operations / uptime))) / (bitcoinPerHash * (1 - fee)));
}
function squeezeOf(l) {
  return ((l.Revenue / (l.Power + l.Operations)) - 1);
}
function networkGrowthOf(t) {
  if ((!Number.isNaN(t[22]))) {
    return t[22];
  }
  return (Math.pow((t[2] / t[23]), (3.1536e+07 / t[24])) - 1);
}
function squeezedAfter(growth, rate) {
  if ((!((growth > 0) && (rate > 0)))) {
    return NaN;
  }
  return (Math.log1p(growth) / Math.log1p(rate));
}
function networkShare(rate, difficulty) {
  return (rate / networkRate(difficulty));
}
function sampleRevenue(price, samplesPerJoule, utilisation, fee, pue) {
  return ((((price * samplesPerJoule) * utilisation) * (1 - fee)) / pue);
}
function rentedGPUs(t) {
  if ((t[7] < t[6])) {
    return t[7];
  }
  return t[6];
}
function letOf(t, rent) {
  return {Revenue: colocationRevenue(rent, t[26], t[27]), Power: 0, Operations: t[28], Capital: capitalPerEnergy(retrofitOf(t), t[16], t[30], 1)};
}
function retrofitOf(t) {
  return (t[29] / t[27]);
}
function follow(m, f) {
  let out = {Value: f(m.Value), Low: NaN, High: NaN, Instrument: NaN};
  if ((Number.isNaN(m.Low) || Number.isNaN(m.High))) {
    return out;
  }
  let [a, b] = [f(measure_bound(m, m.Low)), f(measure_bound(m, m.High))];
  [out.Low, out.High] = [Math.min(a, b), Math.max(a, b)];
  return out;
}
function revenueOf(kind, t, x) {
  if (kind === 2) {
    return sampleRevenue(t[5], x, t[9], t[8], t[10]);
  } else if (kind === 3) {
    return rentRevenue(t[5], rentedGPUs(t), t[9], t[8], x, t[10]);
  } else if (kind === 4) {
    return colocationRevenue(t[25], t[26], t[27]);
  }
  return miningRevenue(hashpriceOf(t), x, t[10], t[8], t[9]);
}
function moved(v, i, value) {
  let out = [];
  for (const [k, x] of v.entries()) {
    if ((k === i)) {
      out = [...out, value];
    } else {
      out = [...out, x];
    }
  }
  return out;
}
function measure_widened(m, end) {
  let d = (end - m.Value);
  if ((!Number.isNaN(m.Instrument))) {
    let add = ((m.Value * m.Instrument) * 1.1315857340761717);
    let wide = Math.sqrt(((d * d) + (add * add)));
    if ((d < 0)) {
      wide = (-wide);
    }
    d = wide;
  }
  return d;
}
function outside(v, low, high) {
  return ((v < (low - (1e-09 * Math.abs(low)))) || (v > (high + (1e-09 * Math.abs(high)))));
}
function sideOf(value, low, high, counts, gains, gain, loss) {
  if (((!counts) || Number.isNaN(value))) {
    return "none";
  } else if (((low > 0) && gains)) {
    return gain;
  } else if ((high < 0)) {
    return loss;
  }
  return "cannot tell";
}
function equalPrice(margin, kind, t, x) {
  let l = ledgerOf(kind, t, x);
  return indifference(margin, ((l.Power + l.Operations) + l.Capital), (l.Revenue / t[5]));
}
function breakEvenEfficiency(hashprice, power, pue, fee) {
  if ((power <= 0)) {
    return Infinity;
  }
  return ((hashprice / (power * pue)) * (1 - fee));
}
function preferred(options) {
  let best = -1;
  for (const [i, o] of options.entries()) {
    if ((o.Fit && (!Number.isNaN(Option_value(o))))) {
      if (((best < 0) || (o.Judged && (!options[best].Judged)))) {
        best = i;
      } else if (((o.Judged === options[best].Judged) && (Option_value(o) < Option_value(options[best])))) {
        best = i;
      }
    }
  }
  return best;
}
function said(parts, before, figures, values, i, after) {
  if (Number.isNaN(values[i])) {
    return parts;
  }
  return [...parts, {Text: before, Figure: "", Interval: false}, {Text: "", Figure: figures[i], Interval: false}, {Text: after, Figure: "", Interval: false}];
}
function Option_value(o) {
  return o.Values[0];
}
function highest(options, others) {
  let best = -1;
  for (const [i, o] of options.entries()) {
    let taken = false;
    for (const x of others) {
      taken = (taken || (x.Kind === o.Kind));
    }
    if (((((!taken) && o.Judged) && (!Number.isNaN(Option_value(o)))) && ((best < 0) || (Option_value(o) > Option_value(options[best]))))) {
      best = i;
    }
  }
  return best;
}
function Option_low(o) {
  if (o.Exact) {
    return Option_value(o);
  }
  return o.Low;
}
function Option_high(o) {
  if (o.Exact) {
    return Option_value(o);
  }
  return o.High;
}
function rankOf(v) {
  if (v === "earns") {
    return 3;
  } else if (v === "cannot tell") {
    return 2;
  } else if (v === "loses") {
    return 1;
  }
  return 0;
}
function earning(options, not) {
  let best = -1;
  for (const [i, o] of options.entries()) {
    if (((((o.Kind !== not) && (o.Verdict !== "none")) && (!Number.isNaN(Option_value(o)))) && ((best < 0) || (Option_value(o) > Option_value(options[best]))))) {
      best = i;
    }
  }
  return best;
}
function Mines(kind) {
  return ((kind === 0) || (kind === 1));
}
function capitalPerEnergy(capex, rate, years, uptime) {
  return ((capex * capitalRecovery(rate, years)) / (3.1536e+07 * uptime));
}
function wattsOf(kind, t, x) {
  if ((kind === 3)) {
    return x;
  }
  return t[18];
}
function breakEvenPower(hashprice, joulePerHash, pue, fee) {
  return ((hashprice / (joulePerHash * pue)) * (1 - fee));
}
function flows(capex, revenue, costs, growth, years) {
  let flows = [(-capex)];
  for (let y = 0; (y < years); y++) {
    flows = [...flows, (((revenue * Math.pow((1 + growth), y)) - costs) * Math.min(1, (years - y)))];
  }
  return flows;
}
function hashprice(difficulty, reward, price) {
  return (bitcoinPerHash(difficulty, reward) * price);
}
function networkRate(difficulty) {
  return ((difficulty * 4.294967296e+09) / 600);
}
function colocationRevenue(rent, occupancy, pue) {
  return ((rent * occupancy) / pue);
}
function measure_bound(m, end) {
  return Math.max((m.Value + measure_widened(m, end)), (m.Value * 1e-09));
}
function rentRevenue(rent, gpus, utilisation, fee, watts, pue) {
  return ((((rent * gpus) * utilisation) * (1 - fee)) / (watts * pue));
}
function miningRevenue(hashprice, joulePerHash, pue, fee, uptime) {
  return (breakEvenPower(hashprice, joulePerHash, pue, fee) * uptime);
}
function capitalRecovery(rate, years) {
  if ((rate === 0)) {
    return (1 / years);
  }
  return (rate / (-Math.expm1(((-years) * Math.log1p(rate)))));
}
