import numpy as np, time, cProfile, pstats
from datetime import datetime, UTC
from recsys.bank.truth import TRUTHS, truths_of
from recsys.bank.personas import make_personas
from recsys.bank.hidden import make_hidden
from recsys.bank.customers import make_customers
from recsys.bank.standing import make_standing
from recsys.bank.logins import *
start=datetime(2026,1,5,tzinfo=UTC)
for n in (5000,20000):
    t=time.perf_counter()
    num=np.arange(n); tr=truths_of(tuple(TRUTHS))
    pe=make_personas(num,founders=n,seed=1); h=make_hidden(pe,numbers=num,truths=tr,seed=1)
    c=make_customers(pe,numbers=num,founders=n,hidden=h,seed=1,start=start); st=make_standing(c,truths=tr,seed=1,start=start)
    print("make",n,round((time.perf_counter()-t)*1e3,1),"ms")
    times=[];tv=[]
    over=np.zeros(n,bool); loy=np.ones(n)
    for d in range(60):
        t=time.perf_counter()
        st.turn_day(); st.advance(customers=c,overdrawn=over,seed=1,number=d,today=start.toordinal()+d)
        m=time.perf_counter()
        r=login_rates(c,standing=st,since_payday=np.full(n,5),loyalty=loy,today=start.toordinal()+d)
        s=sessions_of(c,rates=r,seed=1,number=d); a=arrivals_of(s,customers=c,standing=st,seed=1,number=d)
        times.append(m-t);tv.append(time.perf_counter()-m)
    print(n,"advance",np.median(times)*1e3,"visits",np.median(tv)*1e3,"ms; ns/cust-day",(np.median(times)+np.median(tv))/n*1e9)
