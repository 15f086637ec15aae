module geophone/client

go 1.19
