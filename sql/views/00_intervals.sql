-- 95 % intervals of success rates, the same as worldvla.alignment.intervals (tested against it).

-- Wilson's score interval of k successes in n (method 3 of Newcombe 1998, Statist. Med. 17:857-872).
create macro wilson_low(k, n) as
    case when k = 0 then 0.0
         else (k / n + 1.959964 ** 2 / (2 * n)
               - 1.959964 * sqrt(k / n * (1 - k / n) / n + 1.959964 ** 2 / (4 * n ** 2))) / (1 + 1.959964 ** 2 / n)
    end;

create macro wilson_high(k, n) as
    case when k = n then 1.0
         else (k / n + 1.959964 ** 2 / (2 * n)
               + 1.959964 * sqrt(k / n * (1 - k / n) / n + 1.959964 ** 2 / (4 * n ** 2))) / (1 + 1.959964 ** 2 / n)
    end;

-- Correlation of two paired outcomes, a positive one corrected for continuity; `kept` and `lost` are the pairs in
-- which both succeed and in which neither does, `gained` and `dropped` those in which only the new or the old does.
create macro paired_correlation(kept, gained, dropped, lost) as
    case when (kept + gained) * (dropped + lost) * (kept + dropped) * (gained + lost) = 0 then 0.0
         else (case when kept * lost > gained * dropped
                    then greatest(kept * lost - gained * dropped - (kept + gained + dropped + lost) / 2, 0)
                    else kept * lost - gained * dropped end)
              / sqrt((kept + gained)::double * (dropped + lost) * (kept + dropped) * (gained + lost))
    end;

create macro joined_error(a, b, correlation) as sqrt(greatest(0.0, a ** 2 - 2 * correlation * a * b + b ** 2));

-- The interval of new minus old on the same cases (method 10 of Newcombe 1998, Statist. Med. 17:2635-2650).
create macro paired_low(kept, gained, dropped, lost) as
    greatest(-1.0, (gained - dropped) / (kept + gained + dropped + lost) - joined_error(
        (kept + gained) / (kept + gained + dropped + lost)
            - wilson_low(kept + gained, kept + gained + dropped + lost),
        wilson_high(kept + dropped, kept + gained + dropped + lost)
            - (kept + dropped) / (kept + gained + dropped + lost),
        paired_correlation(kept, gained, dropped, lost)));

create macro paired_high(kept, gained, dropped, lost) as
    least(1.0, (gained - dropped) / (kept + gained + dropped + lost) + joined_error(
        wilson_high(kept + gained, kept + gained + dropped + lost)
            - (kept + gained) / (kept + gained + dropped + lost),
        (kept + dropped) / (kept + gained + dropped + lost)
            - wilson_low(kept + dropped, kept + gained + dropped + lost),
        paired_correlation(kept, gained, dropped, lost)));
