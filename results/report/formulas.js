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
function leftOut(column, kind, t, x, v, low, high) {
  if (column === "margin" || column === "after-power" || column === "daily") {
    return (revenueOf(kind, t, x) === 0);
  } else if (column === "break-even") {
    return outside(v, low, high);
  } else if (column === "payback") {
    return outside(v, 0, t[15]);
  } else if (column === "irr") {
    return outside(v, -1, 12);
  }
  return false;
}
function crossoverOf(kind, t, x, otherKind, other, y, times) {
  let l = ledgerOf(otherKind, other, y);
  return equalPrice((Ledger_Margin(l) + (l.Revenue * (times - 1))), kind, t, x);
}
function ledgerOf(kind, t, x) {
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
  }
  return miningRevenue(hashpriceOf(t), x, t[10], t[8], t[9]);
}
function outside(v, low, high) {
  return ((v < (low - (1e-09 * Math.abs(low)))) || (v > (high + (1e-09 * Math.abs(high)))));
}
function equalPrice(margin, kind, t, x) {
  let l = ledgerOf(kind, t, x);
  return indifference(margin, ((l.Power + l.Operations) + l.Capital), (l.Revenue / t[5]));
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
function hashpriceOf(t) {
  if ((!Number.isNaN(t[0]))) {
    return t[0];
  }
  return hashprice(t[2], (t[3] + t[4]), t[1]);
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
function measure_bound(m, end) {
  let d = (end - m.Value);
  if ((!Number.isNaN(m.Instrument))) {
    let add = ((m.Value * m.Instrument) * 1.1315857340761717);
    let wide = Math.sqrt(((d * d) + (add * add)));
    if ((d < 0)) {
      wide = (-wide);
    }
    d = wide;
  }
  return Math.max((m.Value + d), (m.Value * 1e-09));
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
function rentRevenue(rent, gpus, utilisation, fee, watts, pue) {
  return ((((rent * gpus) * utilisation) * (1 - fee)) / (watts * pue));
}
function miningRevenue(hashprice, joulePerHash, pue, fee, uptime) {
  return (breakEvenPower(hashprice, joulePerHash, pue, fee) * uptime);
}
function indifference(margin, costs, perPrice) {
  return ((margin + costs) / perPrice);
}
function capitalRecovery(rate, years) {
  if ((rate === 0)) {
    return (1 / years);
  }
  return (rate / (-Math.expm1(((-years) * Math.log1p(rate)))));
}
function hashprice(difficulty, reward, price) {
  return (bitcoinPerHash(difficulty, reward) * price);
}
function bitcoinPerHash(difficulty, reward) {
  return (reward / (difficulty * 4.294967296e+09));
}
